package keys_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

func TestAClientsKeysAreMadeOnceByWhoeverMeetsItFirst(t *testing.T) {
	t.Parallel()
	_, dir, now := open(t)
	var group sync.WaitGroup
	kids := make([]string, 8)
	for i := range kids {
		server := keys.NewClients(dir, now.Now)
		group.Go(func() {
			ring, err := server.Ring("app", []string{keys.EdDSA})
			if err != nil {
				t.Error(err)
				return
			}
			kids[i] = active(t, ring, keys.EdDSA)
			again, err := server.Ring("app", []string{keys.EdDSA, keys.ES256}) // it has come to want another
			if err != nil || active(t, again, keys.EdDSA) != kids[i] {
				t.Errorf("%v", err)
			}
		})
	}
	group.Wait()
	if slices.Sort(kids); len(slices.Compact(kids)) != 1 {
		t.Errorf("%v", kids)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "clients", "app", "*.json")); err != nil || len(files) != 2 {
		t.Errorf("%v %v", files, err)
	}
}

func TestKeysOfAClientThatIsMadeAnewAreNew(t *testing.T) {
	t.Parallel()
	_, dir, now := open(t)
	server := keys.NewClients(dir, now.Now)
	ring, err := server.Ring("app", []string{keys.ES256})
	if err != nil {
		t.Fatal(err)
	}
	old, err := ring.Sign(keys.ES256, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"app", "nobody"} {
		if err := keys.RemoveClient(dir, id); err != nil {
			t.Error(err)
		}
	}
	changed, err := server.Reload(func(string) bool { return true })
	if err != nil || !slices.Equal(changed, []string{"app"}) {
		t.Errorf("%v %v", changed, err)
	}
	if ring, err = server.Ring("app", []string{keys.ES256}); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Verify(old); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("a token of the client that was there before: %v", err)
	}
	if _, err := server.Reload(func(string) bool { return false }); err != nil || len(server.Known()) != 0 {
		t.Errorf("%v %v", server.Known(), err)
	}
	for _, id := range []string{"..", "", "a/b"} {
		if err := keys.RemoveClient(dir, id); !errors.Is(err, oidc.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := keys.Load(dir, now.Now); err != nil {
		t.Errorf("the server's own keys: %v", err)
	}
}

func TestReplacedKeysAreGoneAndThereIsAlwaysOne(t *testing.T) {
	t.Parallel()
	_, dir, now := open(t)
	algorithms := []string{keys.ES256, keys.EdDSA}
	ring, err := keys.OpenClient(dir, "app", algorithms, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Rotate(keys.ES256); err != nil { // one waits, which has leaked as well
		t.Fatal(err)
	}
	now.Add(time.Hour)
	old := ring.List()
	made, err := ring.Replace()
	if err != nil || len(made) != len(algorithms) {
		t.Fatalf("%v %v", made, err)
	}
	for _, k := range made {
		if k.State != keys.StateActive || slices.ContainsFunc(old, func(o keys.Info) bool { return o.Kid == k.Kid }) {
			t.Errorf("%+v", k)
		}
	}
	if again, err := keys.LoadClient(dir, "app", algorithms, now.Now); err != nil || len(again.List()) != 2 {
		t.Errorf("%v", err)
	}
}

func TestFoldersAtRestAreReadSeldomAndNoChangeIsMissed(t *testing.T) {
	t.Parallel()
	_, dir, _ := open(t)
	server, all := keys.NewClients(dir, time.Now), func(string) bool { return true }
	if _, err := server.Ring("app", []string{keys.ES256}); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "clients", "app")
	rest := func() {
		t.Helper()
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(folder, long, long); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := server.Reload(all); err != nil {
				t.Fatal(err)
			}
		}
	}
	rest()
	other, err := keys.LoadClient(dir, "app", nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Create(keys.ES256); err != nil {
		t.Fatal(err)
	}
	if changed, err := server.Reload(all); err != nil || len(changed) != 1 {
		t.Errorf("a new key: %v %v", changed, err)
	}
	rest()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v %v", files, err)
	}
	if err := os.Chmod(files[0], 0o644); err != nil {
		t.Fatal(err)
	}
	rounds := 0
	for err = nil; err == nil && rounds < 60; rounds++ {
		_, err = server.Reload(all)
	}
	if err == nil || rounds > 30 {
		t.Errorf("after %d rounds: %v", rounds, err)
	}
	if _, err := server.Reload(all); err == nil {
		t.Error("it is told once only")
	}
}

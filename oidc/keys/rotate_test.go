package keys_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

func TestRotationLeavesNoGap(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	node, err := keys.Open(dir, now.Now) // a second process
	if err != nil {
		t.Fatal(err)
	}
	old := ring.List()[0].Kid
	before := sign(t, ring, keys.ES256)
	next, err := ring.Rotate(keys.ES256)
	if err != nil || next.State != keys.StateNext || !next.ActiveFrom.Equal(now.Now().Add(10*time.Minute)) {
		t.Fatalf("%+v, error %v", next, err)
	}
	if _, err := node.Reload(); err != nil {
		t.Fatal(err)
	}
	if kids, _ := published(t, node); !slices.Contains(kids, next.Kid) {
		t.Error("the next key isn't published")
	}
	if kid := kidOf(t, sign(t, node, keys.ES256)); kid != old {
		t.Errorf("%s signs before its time", kid)
	}
	now.Add(10*time.Minute - time.Nanosecond)
	if kid := kidOf(t, sign(t, node, keys.ES256)); kid != old {
		t.Errorf("%s signs before its time", kid)
	}
	now.Add(time.Nanosecond)
	for _, r := range []*keys.Ring{ring, node} {
		after := sign(t, r, keys.ES256)
		if kidOf(t, after) != next.Kid || states(r, keys.ES256) != "inactive active" {
			t.Errorf("%s signs, states %s", kidOf(t, after), states(r, keys.ES256))
		}
		if kids, _ := published(t, r); kids[0] != next.Kid || !slices.Contains(kids, old) {
			t.Errorf("published %v", kids)
		}
		for _, token := range []string{before, after} {
			if _, err := r.Verify(token); err != nil {
				t.Errorf("a token is lost: %v", err)
			}
		}
	}
	if info := ring.List()[0]; !info.InactiveFrom.Equal(next.ActiveFrom) {
		t.Errorf("%s is inactive from %s", info.Kid, info.InactiveFrom)
	}
	if err := ring.Retire(old); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Verify(before); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("a retired key still verifies: %v", err)
	}
	if kids, _ := published(t, ring); slices.Contains(kids, old) {
		t.Error("a retired key is still published")
	}
}

func TestASecondRotationWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	ring, _, now := open(t)
	next, err := ring.Rotate(keys.RS256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Rotate(keys.RS256); err == nil || !strings.Contains(err.Error(), next.Kid) {
		t.Errorf("error %v", err)
	}
	now.Add(time.Second)
	again, err := ring.RotateAfter(keys.RS256, 0)
	if err != nil || again.Kid != next.Kid || again.State != keys.StateActive {
		t.Errorf("moved forward: %+v, error %v", again, err)
	}
	if kid := kidOf(t, sign(t, ring, keys.RS256)); kid != next.Kid {
		t.Errorf("%s signs", kid)
	}
	twice, err := ring.RotateAfter(keys.RS256, 0) // in the same instant
	now.Add(time.Nanosecond)
	if kid := kidOf(t, sign(t, ring, keys.RS256)); err != nil || kid != twice.Kid {
		t.Errorf("%s signs, not %s; error %v", kid, twice.Kid, err)
	}
	if states(ring, keys.RS256) != "inactive inactive active" || states(ring, keys.ES256) != "active" {
		t.Errorf("RS256 %s, ES256 %s", states(ring, keys.RS256), states(ring, keys.ES256))
	}
	if _, err := ring.RotateAfter(keys.RS256, -time.Second); err == nil {
		t.Error("a delay in the past was taken")
	}
	if _, err := ring.Rotate("HS256"); err == nil {
		t.Error("a key of no known algorithm was made")
	}
}

func TestASpareKeyIsPublishedAndWaits(t *testing.T) {
	t.Parallel()
	ring, _, now := open(t)
	spare, err := ring.Create(keys.ES256)
	if err != nil || spare.State != keys.StateNext || !spare.ActiveFrom.IsZero() {
		t.Fatalf("%+v, error %v", spare, err)
	}
	now.Add(time.Hour)
	if kid := kidOf(t, sign(t, ring, keys.ES256)); kid == spare.Kid {
		t.Error("a spare key signs")
	}
	if kids, _ := published(t, ring); !slices.Contains(kids, spare.Kid) {
		t.Error("a spare key isn't published")
	}
	used, err := ring.Rotate(keys.ES256)
	if err != nil || used.Kid != spare.Kid || used.State != keys.StateActive {
		t.Errorf("published for an hour, it must sign at once: %+v, error %v", used, err)
	}
	if _, err := ring.Create("none"); err == nil {
		t.Error("a key of no known algorithm was made")
	}
}

func TestWhatSignsIsNotRetired(t *testing.T) {
	t.Parallel()
	ring, _, now := open(t)
	for _, info := range ring.List() {
		if err := ring.Retire(info.Kid); err == nil {
			t.Errorf("%s was retired though it is the only %s key", info.Kid, info.Alg)
		}
	}
	next, err := ring.Rotate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	var problems oidc.Problems
	if err := ring.Retire(ring.List()[0].Kid); !errors.As(err, &problems) || problems[0].Hint == "" {
		t.Errorf("error %v", err)
	}
	if err := ring.Retire(next.Kid); err != nil {
		t.Errorf("a rotation can't be called off: %v", err)
	}
	now.Add(time.Hour)
	if states(ring, keys.ES256) != "active" {
		t.Errorf("states %s", states(ring, keys.ES256))
	}
	if err := ring.Retire("nonsense"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if err := ring.Retire("../../etc/passwd"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestSigningGoesOnWhileKeysChange(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	other, err := keys.Open(dir, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				token, err := ring.Sign(keys.ES256, "", map[string]int{"n": 1})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := ring.Verify(token); err != nil {
					t.Error(err)
					return
				}
				ring.JWKS()
				if _, err := ring.Reload(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		if _, err := other.Rotate(keys.ES256); err != nil {
			t.Error(err)
		}
		now.Add(keys.PublicationDelay)
	}
	close(done)
	wg.Wait()
}

// TestProcessesThatStartTogetherAgree runs this test program several times over
// one folder that isn't there yet.
func TestProcessesThatStartTogetherAgree(t *testing.T) {
	if dir := os.Getenv("GATEHOUSE_TEST_KEYS_DIR"); dir != "" {
		ring, err := keys.Open(dir, time.Now)
		if err != nil {
			fmt.Println("opened:", err)
			return
		}
		fmt.Printf("opened: %s %x\n", ring.JWKS(), ring.Derive("together", 16))
		return
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	answers := make([]string, 6)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesThatStartTogetherAgree$")
			cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_KEYS_DIR="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			_, answer, _ := strings.Cut(string(out), "opened: ")
			answers[i], _, _ = strings.Cut(answer, "\n")
		})
	}
	wg.Wait()
	for _, answer := range answers {
		if answer == "" || answer != answers[0] || !strings.HasPrefix(answer, "{") {
			t.Fatalf("they differ:\n%s", strings.Join(answers, "\n"))
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 4 { // with that of the lock
		t.Errorf("files %v, error %v", files, err)
	}
}

package clients_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

// book is a store of registrations that counts what is read of it.
type book struct {
	rows  map[string]oidc.Registration
	err   error
	asked int
	read  int
}

func (b *book) RegistrationRevision(_ context.Context, id string) (int64, error) {
	b.asked++
	if b.err != nil {
		return 0, b.err
	}
	if r, found := b.rows[id]; found {
		return r.Revision, nil
	}
	return 0, oidc.ErrNotFound
}

func (b *book) Registration(_ context.Context, id string) (oidc.Registration, error) {
	b.read++
	if r, found := b.rows[id]; found {
		return r, nil
	}
	return oidc.Registration{}, oidc.ErrNotFound
}

func (b *book) OriginRegistered(_ context.Context, origin string) (bool, error) {
	for _, r := range b.rows {
		for _, o := range r.Origins {
			if o == origin {
				return true, nil
			}
		}
	}
	return false, b.err
}

func registration(id, name string, revision int64) oidc.Registration {
	return oidc.Registration{
		ClientID: id, Revision: revision, Origins: []string{"https://reg.example.org"},
		Metadata: fmt.Appendf(nil, `{"redirect_uris":["https://reg.example.org/cb"],"client_name":%q,"token_endpoint_auth_method":"none"}`, name),
	}
}

func TestARegisteredClientIsLaidUnderTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := "client_id: dyn_both\nclient_name: of a file\ntoken_endpoint_auth_method: none\nredirect_uris: [https://file.example.org/cb]\nallowed_cors_origins: [https://dev.example.org]\n"
	if err := os.WriteFile(filepath.Join(dir, "dyn_both.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := clients.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := &book{rows: map[string]oidc.Registration{"dyn_both": registration("dyn_both", "registered", 1), "dyn_a": registration("dyn_a", "A", 1)}}
	r := clients.NewRegistry(files, b, everything(t), slog.New(slog.DiscardHandler))
	name := func(id string) string {
		t.Helper()
		c, err := r.Client(id)
		if err != nil {
			return err.Error()
		}
		return c.Name
	}
	if got := name("dyn_both"); got != "of a file" {
		t.Errorf("a file's id does not win: %s", got)
	}
	if got := name("dyn_a"); got != "A" {
		t.Errorf("got %s", got)
	}
	name("dyn_a")
	if b.read != 1 || b.asked != 2 {
		t.Errorf("a client that stays as it is was read %d times, asked for %d times", b.read, b.asked)
	}
	b.rows["dyn_a"] = registration("dyn_a", "B", 2) // on another node
	if got := name("dyn_a"); got != "B" {
		t.Errorf("a change is not seen at once: %s", got)
	}
	delete(b.rows, "dyn_a")
	if _, err := r.Client("dyn_a"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("an end is not seen at once: %v", err)
	}
	asked := b.asked
	if _, err := r.Client("unknown"); !errors.Is(err, oidc.ErrNotFound) || b.asked != asked {
		t.Errorf("the store is asked for what can't be in it: %v", err)
	}
	b.err = oidc.ErrUnavailable
	if _, err := r.Client("dyn_a"); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("can't tell is told as %v", err)
	}
	b.err = nil
	for origin, want := range map[string]bool{
		"https://file.example.org": true, "https://dev.example.org": true, "https://reg.example.org": true, "https://evil.example": false, "null": false,
	} {
		if may, err := r.AllowsOrigin(t.Context(), origin); err != nil || may != want {
			t.Errorf("%s: %v %v", origin, may, err)
		}
	}
	off := clients.NewRegistry(files, b, nil, slog.New(slog.DiscardHandler))
	if _, err := off.Client("dyn_c"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("with registration off: %v", err)
	}
}

func TestAClientThatIsNoLongerAllowedIsUnknown(t *testing.T) {
	t.Parallel()
	files, err := clients.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	row := registration("dyn_a", "A", 1)
	row.Metadata = []byte(`{"redirect_uris":["https://reg.example.org/cb"],"grant_types":["authorization_code","implicit"]}`)
	b := &book{rows: map[string]oidc.Registration{"dyn_a": row}}
	narrow := everything(t, func(s *clients.Settings) { s.GrantTypes = []string{"authorization_code"} })
	if _, err := clients.NewRegistry(files, b, narrow, slog.New(slog.DiscardHandler)).Client("dyn_a"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := clients.NewRegistry(files, b, everything(t), slog.New(slog.DiscardHandler)).Client("dyn_a"); err != nil {
		t.Error(err)
	}
}

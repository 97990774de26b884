package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// A key that others could have read or put there is used for nothing: the start is
// refused with all that is wrong, and a running server keeps what it has.
func TestKeysThatOthersCanReadOrPlantAreRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	dir := filepath.Join(s.Dir, "keys")
	secret := filepath.Join(dir, "server.secret")
	stolen := filepath.Join(s.Dir, "elsewhere.json")
	var key string
	files, err := filepath.Glob(filepath.Join(dir, "es256-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	key = files[0]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil, mend func() error
		says        string
	}{
		"a world-readable key":       {func() error { return os.Chmod(key, 0o644) }, func() error { return os.Chmod(key, 0o600) }, "chmod 600"},
		"a key others may change":    {func() error { return os.Chmod(key, 0o620) }, func() error { return os.Chmod(key, 0o600) }, "chmod 600"},
		"a world-readable secret":    {func() error { return os.Chmod(secret, 0o604) }, func() error { return os.Chmod(secret, 0o600) }, "server.secret"},
		"a folder that others enter": {func() error { return os.Chmod(dir, 0o755) }, func() error { return os.Chmod(dir, 0o700) }, "chmod 700"},
		"a link to a key elsewhere": {
			func() error { return errorsOf(os.Rename(key, stolen), os.Symlink(stolen, key)) },
			func() error { return errorsOf(os.Remove(key), os.Rename(stolen, key)) }, "symbolic link",
		},
		"a link to a secret file": {
			func() error { return os.Symlink("/etc/hostname", filepath.Join(dir, "planted.json")) },
			func() error { return os.Remove(filepath.Join(dir, "planted.json")) }, "symbolic link",
		},
		"a key cut short": {
			func() error {
				content, err := os.ReadFile(key)
				return errorsOf(err, os.WriteFile(stolen, content, 0o600), os.Truncate(key, int64(len(content)/2)))
			},
			func() error { return os.Rename(stolen, key) }, "cut short",
		},
	} {
		must(c.spoil())
		if _, err := s.house.keys.Reload(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the running server says %v", name, err)
		}
		if h, err := newHouse(context.Background(), s.config, s.house.log, time.Now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the start says %v", name, err)
			if err == nil {
				_ = h.close()
			}
		}
		must(c.mend())
		if _, err := s.house.keys.Reload(); err != nil {
			t.Fatalf("%s: after the mend: %v", name, err)
		}
	}
	app := s.application("openid")
	app.idToken(app.tokens(newPerson(t).get(app.address()).signIn("alice")))
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// One start tells all that is wrong, of every part, with its mend.
func TestAStartTellsEveryProblemOfEveryPart(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("clients.d/bad.yaml", clientYAML("bad", "redirect_urls: [x]\nlogo_uri: javascript:x\n"), 0o600)
	write("clients.d/twin.yaml", clientYAML("app", ""), 0o600)
	write("keys/es256-20200101-00000000.json", `{"kid": "es256-2020`, 0o600)
	write("keys/notes.txt", "x", 0o644)
	write("public.db", "x", 0o666)
	if err := os.Chmod(filepath.Join(s.Dir, "public.db"), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg := *s.config
	cfg.Database = filepath.Join(s.Dir, "public.db")
	_, err := newHouse(context.Background(), &cfg, s.house.log, time.Now)
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{"redirect_urls", "did you mean redirect_uris", "logo_uri", "app is the id of another client", "cut short", "notes.txt", "does not belong", "public.db", "hint"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing is said of %s:\n%v", want, err)
		}
	}
	// The server that runs goes on with what it had.
	if _, err := s.house.clients.Reload(); err == nil {
		t.Error("bad client files were taken over")
	}
	app := s.application("openid")
	app.tokens(newPerson(t).get(app.address(oauth2.AccessTypeOnline)).signIn("alice"))
}

package clients_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

// folder makes a folder of files, by name.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *clients.Set {
	t.Helper()
	s, err := clients.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(s *clients.Set) string {
	var all []string
	for _, c := range s.All() {
		all = append(all, c.ID)
	}
	return strings.Join(all, " ")
}

// problemsOf returns an error's problems, one line each.
func problemsOf(t *testing.T, err error) oidc.Problems {
	t.Helper()
	var p oidc.Problems
	if !errors.As(err, &p) {
		t.Fatalf("want problems, got %v", err)
	}
	return p
}

func named(id string) string { return strings.Replace(nextcloud, "nextcloud", id, 1) }

func TestAFolderIsReadAndWhatEditorsLeaveIsIgnored(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"b.yaml": named("b"), "a.yaml": named("a"), ".a.yaml.swp": "x", "a.yaml~": "x", "#a.yaml#": "x", ".hidden.yaml": "x",
		"README.md": "x", "old.yaml.disabled": "x", "4913": "",
	})
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if ids(s) != "a b" {
		t.Errorf("got %s", ids(s))
	}
	if c, err := s.Client("b"); err != nil || c.ID != "b" {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := s.Client("c"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestAnEmptyFolderHasNoClientsAndAMissingOneIsAnError(t *testing.T) {
	t.Parallel()
	if s := open(t, t.TempDir()); ids(s) != "" {
		t.Errorf("got %s", ids(s))
	}
	if _, err := clients.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestChangesAreTakenOverAsAWhole(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a"), "b.yaml": named("b")})
	s := open(t, dir)
	step := func(what string, wantChanged bool, wantIDs string) {
		t.Helper()
		changed, err := s.Reload()
		if err != nil || changed != wantChanged || ids(s) != wantIDs {
			t.Fatalf("%s: changed %v, %v, clients %s", what, changed, err, ids(s))
		}
	}
	step("nothing happened", false, "a b")
	write(t, filepath.Join(dir, "c.yaml"), named("c"))
	step("a new file", true, "a b c")
	step("nothing happened again", false, "a b c")
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	step("a file removed", true, "a c")
	if err := os.Chtimes(filepath.Join(dir, "a.yaml"), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	step("a file touched", false, "a c")
	before, _ := s.Client("a")
	write(t, filepath.Join(dir, "a.yaml"), strings.Replace(named("a"), "Nextcloud", "Newcloud!", 1))
	step("a file changed", true, "a c")
	if c, _ := s.Client("a"); c.Name != "Newcloud!" || before.Name != "Nextcloud" {
		t.Errorf("got %s and, before, %s", c.Name, before.Name)
	}
}

func TestAWriteThatKeepsSizeAndTimeIsNoticed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a")})
	path := filepath.Join(dir, "a.yaml")
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	write(t, path, strings.Replace(named("a"), "Nextcloud", "Nextcloux", 1))
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Reload(); !changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
}

func TestOneBadFileKeepsTheOldClientsAndEveryProblemIsTold(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a"), "b.yaml": named("b")})
	s := open(t, dir)
	write(t, filepath.Join(dir, "a.yaml"), strings.Replace(named("a"), "consent", "consnet", 1)+"require_pkce: maybe\n")
	write(t, filepath.Join(dir, "b.yaml"), strings.Replace(named("b"), "Nextcloud", "Other", 1))
	write(t, filepath.Join(dir, "c.yaml"), "")
	write(t, filepath.Join(dir, "d.yml"), named("d"))
	for range 2 { // the second time nothing is new, and the problems still stand
		changed, err := s.Reload()
		if p := problemsOf(t, err); changed || len(p) != 4 {
			t.Fatalf("changed %v: %v", changed, err)
		}
		for _, part := range []string{"a.yaml:6: consnet: unknown key", "did you mean consent?", "a.yaml:11: require_pkce", "c.yaml: the file is empty", "d.yml: the name doesn't end in .yaml"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in\n%v", part, err)
			}
		}
		if c, _ := s.Client("b"); ids(s) != "a b" || c.Name != "Nextcloud" {
			t.Errorf("got %s, b is %s", ids(s), c.Name)
		}
	}
	write(t, filepath.Join(dir, "a.yaml"), named("a"))
	for _, name := range []string{"c.yaml", "d.yml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// b was good and unchanged since the last look, but not taken over then.
	if changed, err := s.Reload(); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if c, _ := s.Client("b"); c.Name != "Other" {
		t.Errorf("b is %s", c.Name)
	}
}

func TestTwoClientsWithOneIDAreAProblemThatNamesBothFiles(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"a copy":                  {"a.yaml": named("a"), "copy.yaml": named("a")},
		"a copy sorted before it": {"a.yaml": named("a"), "0.yaml": named("a")},
		"a copy that is bad, too": {"a.yaml": named("a"), "0.yaml": "client_id: a\n"},
		"neither named after it":  {"x.yaml": named("a"), "a.yaml": named("y"), "z.yaml": named("a")},
	} {
		dir := folder(t, files)
		_, err := clients.Open(dir)
		var told bool
		for _, p := range problemsOf(t, err) {
			if strings.Contains(p.Message, "a is the id of another client, in "+dir) && p.Line == 1 && p.Key == "client_id" {
				told = true
			}
		}
		if !told {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileIsNamedAfterItsClient(t *testing.T) {
	t.Parallel()
	_, err := clients.Open(folder(t, map[string]string{"cloud.yaml": named("nextcloud")}))
	p := problemsOf(t, err)
	if len(p) != 1 || p[0].Line != 1 || !strings.Contains(p[0].Hint, "rename the file to nextcloud.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestFilesThatCannotBeReadAreProblems(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a"), "big.yaml": strings.Repeat("#", clients.MaxFile+1)})
	if err := os.Mkdir(filepath.Join(dir, "dir.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := 3
	if os.Getuid() != 0 { // root may read anything
		write(t, filepath.Join(dir, "secret.yaml"), named("secret"))
		if err := os.Chmod(filepath.Join(dir, "secret.yaml"), 0); err != nil {
			t.Fatal(err)
		}
		want = 4
	}
	_, err := clients.Open(dir)
	if p := problemsOf(t, err); len(p) != want {
		t.Errorf("got %v", err)
	}
}

func TestLinksAreFollowedAsContainersMountThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place := func(version, content string) {
		t.Helper()
		data := filepath.Join(dir, "..data-"+version)
		if err := os.Mkdir(data, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(data, "a.yaml"), content)
		if err := os.Symlink(filepath.Base(data), filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	place("1", named("a"))
	if err := os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	place("2", strings.Replace(named("a"), "Nextcloud", "Mounted", 1))
	if changed, err := s.Reload(); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if c, _ := s.Client("a"); c.Name != "Mounted" {
		t.Errorf("got %s", c.Name)
	}
}

func TestWarningsNameTheFile(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": strings.Replace(named("a"), "[openid]", "[profile]", 1)})
	w := open(t, dir).Warnings()
	if len(w) != 1 || w[0].File != filepath.Join(dir, "a.yaml") || w[0].Key != "scopes" {
		t.Errorf("got %+v", w)
	}
}

func TestClientsAreReadWhileTheyChange(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a")})
	s := open(t, dir)
	stop := make(chan struct{})
	failed := make(chan error, 4)
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				if c, err := s.Client("a"); err != nil || c.ID != "a" || len(s.All()) == 0 {
					failed <- fmt.Errorf("got %v, %w", c, err)
					return
				}
				runtime.Gosched()
			}
		}()
	}
	for i := range 10 {
		if _, err := clients.SetField(dir, "a", "client_name", fmt.Sprint("Name ", i)); err != nil {
			t.Error(err)
		}
		if changed, err := s.Reload(); !changed || err != nil {
			t.Errorf("step %d: changed %v, %v", i, changed, err)
		}
	}
	close(stop)
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestAThousandClientsAreLookedAtQuickly(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 1000 {
		id := fmt.Sprintf("client-%d", i)
		files[id+".yaml"] = named(id)
	}
	dir := folder(t, files)
	s := open(t, dir)
	if n := len(s.All()); n != 1000 {
		t.Fatalf("got %d", n)
	}
	if changed, err := s.Reload(); changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
}

func TestAFolderOfTooManyFilesIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a")})
	for i := range clients.MaxFiles {
		if err := os.Symlink("a.yaml", filepath.Join(dir, fmt.Sprintf("x%d.yaml", i))); err != nil {
			t.Fatal(err)
		}
	}
	_, err := clients.Open(dir)
	if p := problemsOf(t, err); len(p) != 1 || p[0].File != dir || !strings.Contains(p[0].Message, "more than 10000") {
		t.Errorf("got %d problems, %.200s", len(p), err)
	}
}

func BenchmarkReloadOfNothingNew(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		id := fmt.Sprintf("client-%d", i)
		path := filepath.Join(dir, id+".yaml")
		if err := os.WriteFile(path, []byte(named(id)), 0o644); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
	s, err := clients.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if changed, err := s.Reload(); changed || err != nil {
			b.Fatal(changed, err)
		}
	}
}

func TestAClientFileThatEverybodyCanChangeIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "nextcloud.yaml")
	if err := os.WriteFile(path, []byte(nextcloud), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.Open(dir); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("%v", err)
	}
}

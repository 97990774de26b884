package clients_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

// commented is a file as a careful person keeps it.
const commented = `# Cloud of the house.
# Ask Ada before changing it.

---
client_id: cloud   # as in config.php
client_secret_hash: ` + hash + `

# where it lives
redirect_uris:
    - https://cloud.example.org/cb # main
    - https://old.example.org/cb   # until June

scopes:   # who gets what
    everyone: [openid]

    groups:
        # all of them
        "cn=Staff, ou=groups,dc=example,dc=org":
            - profile   # names
            - email
        cn=b,dc=x: groups
    # end of groups

# last word
`

func read(t *testing.T, dir, id string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, id+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnEditChangesItsKeyAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit     func(dir string) (*oidc.Client, error)
		old, new string // of the text; new "" means that old goes
		check    func(*oidc.Client) bool
	}{
		"a text that is there": {
			func(d string) (*oidc.Client, error) {
				return clients.SetField(d, "cloud", "client_secret_hash", "sha256:"+strings.Repeat("0", 64))
			},
			hash, "sha256:" + strings.Repeat("0", 64), func(c *oidc.Client) bool { return strings.HasSuffix(c.SecretHash, "000") },
		},
		"a text that isn't": {
			func(d string) (*oidc.Client, error) { return clients.SetField(d, "cloud", "client_name", "true: #1") },
			"# last word\n", "# last word\nclient_name: 'true: #1'\n", func(c *oidc.Client) bool { return c.Name == "true: #1" },
		},
		"a flag": {
			func(d string) (*oidc.Client, error) { return clients.SetField(d, "cloud", "require_pkce", "off") },
			"# last word\n", "# last word\nrequire_pkce: false\n", func(c *oidc.Client) bool { return !c.RequirePKCE },
		},
		"a duration beneath a key that isn't there": {
			func(d string) (*oidc.Client, error) {
				return clients.SetField(d, "cloud", "lifespans.refresh", "14d")
			},
			"# last word\n", "# last word\nlifespans:\n  refresh: 14d\n", func(c *oidc.Client) bool { return c.Lifespans.Refresh.Hours() == 336 },
		},
		"a list, one entry of which stays": {
			func(d string) (*oidc.Client, error) {
				return clients.SetField(d, "cloud", "redirect_uris", "https://cloud.example.org/cb", "https://new.example.org/cb")
			},
			"    - https://cloud.example.org/cb # main\n    - https://old.example.org/cb   # until June\n",
			"  - https://cloud.example.org/cb # main\n  - https://new.example.org/cb\n", func(c *oidc.Client) bool { return len(c.RedirectURIs) == 2 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{"cloud.yaml": commented})
			client, err := c.edit(dir)
			if err != nil || !c.check(client) {
				t.Fatalf("%+v, %v", client, err)
			}
			if got, want := read(t, dir, "cloud"), strings.Replace(commented, c.old, c.new, 1); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestScopeMapsAreEditedHoweverTheGroupIsSpelt(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"cloud.yaml": commented})
	const staff = "CN=staff,OU=Groups,DC=example,DC=org"
	maps := func(c *oidc.Client) string {
		var s []string
		for _, m := range c.Scopes.Groups {
			s = append(s, m.Group.Key()+"="+strings.Join(m.Scopes, "+"))
		}
		return strings.Join(c.Scopes.Everyone, "+") + " " + strings.Join(s, " ")
	}
	const key = "cn=staff,ou=groups,dc=example,dc=org="
	for i, step := range []struct {
		edit func() (*oidc.Client, error)
		want string
	}{
		{func() (*oidc.Client, error) { return clients.AddScopeMap(dir, "cloud", staff, "email", "quota") }, "openid " + key + "profile+email+quota cn=b,dc=x=groups"},
		{func() (*oidc.Client, error) { return clients.AddScopeMap(dir, "cloud", "cn=b,dc=x", "email") }, "openid " + key + "profile+email+quota cn=b,dc=x=groups+email"},
		{func() (*oidc.Client, error) { return clients.AddScopeMap(dir, "cloud", `cn=\2c ü,dc=x`, "phone") }, "openid " + key + `profile+email+quota cn=b,dc=x=groups+email cn=\2c ü,dc=x=phone`},
		{func() (*oidc.Client, error) { return clients.DeleteScopeMap(dir, "cloud", staff, "email") }, "openid " + key + `profile+quota cn=b,dc=x=groups+email cn=\2c ü,dc=x=phone`},
		{func() (*oidc.Client, error) { return clients.DeleteScopeMap(dir, "cloud", "CN=B,DC=X") }, "openid " + key + `profile+quota cn=\2c ü,dc=x=phone`},
		{func() (*oidc.Client, error) { return clients.SetImplicitScopes(dir, "cloud", "openid", "profile") }, "openid+profile " + key + `profile+quota cn=\2c ü,dc=x=phone`},
		{func() (*oidc.Client, error) { return clients.SetImplicitScopes(dir, "cloud") }, " " + key + `profile+quota cn=\2c ü,dc=x=phone`},
		{func() (*oidc.Client, error) { return clients.DeleteScopeMap(dir, "cloud", staff, "profile", "quota") }, ` cn=\2c ü,dc=x=phone`},
		{func() (*oidc.Client, error) { return clients.DeleteScopeMap(dir, "cloud", `cn=\, Ü,dc=x`) }, " "},
		{func() (*oidc.Client, error) { return clients.SetImplicitScopes(dir, "cloud", "openid") }, "openid "},
	} {
		c, err := step.edit()
		if err != nil {
			t.Fatalf("step %d: %v\n%s", i, err, read(t, dir, "cloud"))
		}
		if got := maps(c); got != step.want {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
		again, problems := clients.Parse("x", []byte(read(t, dir, "cloud")))
		if len(problems) > 0 || !reflect.DeepEqual(c, again) {
			t.Errorf("step %d: what was returned is not what was written: %v", i, oidc.Problems(problems))
		}
		if i == 0 {
			for _, comment := range []string{"# all of them", "# names", "# who gets what", "# end of groups", "# last word", "# main"} {
				if strings.Count(read(t, dir, "cloud"), comment) != 1 {
					t.Errorf("the comment %q is not there once:\n%s", comment, read(t, dir, "cloud"))
				}
			}
		}
	}
	if _, err := clients.DeleteScopeMap(dir, "cloud", staff); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("deleting a map that isn't there: %v", err)
	}
}

func TestAnEditThatWouldMakeABadFileIsRefusedAndWritesNothing(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"cloud.yaml": commented, "flow.yaml": "{client_id: flow, token_endpoint_auth_method: none, redirect_uris: 'https://a/b'}\n",
		"broken.yaml": "client_id: broken\n  x: [\n", "other.yaml": named("misnamed"), "bad.yaml": strings.Replace(named("bad"), "consent", "consnet", 1),
	})
	for name, c := range map[string]struct {
		edit func() (*oidc.Client, error)
		says string
	}{
		"an unknown key":             {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "cliet_name", "x") }, "did you mean client_name?"},
		"a bad URI":                  {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "redirect_uris", "http://x") }, "loopback"},
		"two values for a text":      {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "client_name", "a", "b") }, "one value"},
		"a wrong type":               {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "lifespans.code", "soon") }, "not a duration"},
		"no redirect URI left":       {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "redirect_uris") }, "there is none"},
		"another id":                 {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "client_id", "x") }, "can't be changed"},
		"maps as a whole":            {func() (*oidc.Client, error) { return clients.SetField(dir, "cloud", "scopes.groups", "x") }, "one scope map at a time"},
		"a secret for a hash":        {func() (*oidc.Client, error) { return clients.SetSecret(dir, "cloud", "hunter2", "") }, "not a hash"},
		"a map for a name":           {func() (*oidc.Client, error) { return clients.AddScopeMap(dir, "cloud", "staff", "openid") }, "not a distinguished name"},
		"a map of nothing":           {func() (*oidc.Client, error) { return clients.AddScopeMap(dir, "cloud", "cn=a") }, "no scope"},
		"a map with a bad scope":     {func() (*oidc.Client, error) { return clients.AddScopeMap(dir, "cloud", "cn=a", "a b") }, "not a scope"},
		"a file on one line":         {func() (*oidc.Client, error) { return clients.SetField(dir, "flow", "client_name", "x") }, "layout"},
		"a file that is no YAML":     {func() (*oidc.Client, error) { return clients.SetField(dir, "broken", "client_name", "x") }, "broken.yaml:"},
		"a file with another fault":  {func() (*oidc.Client, error) { return clients.SetField(dir, "bad", "client_name", "x") }, "bad.yaml:6: consnet"},
		"a file of another client":   {func() (*oidc.Client, error) { return clients.SetField(dir, "other", "client_name", "x") }, "not named after it"},
		"a way out of the folder":    {func() (*oidc.Client, error) { return clients.SetField(dir, "../x", "client_name", "x") }, "not an id"},
		"a client that is not there": {func() (*oidc.Client, error) { return clients.SetField(dir, "none", "client_name", "x") }, "not found"},
	} {
		before := snapshotOf(t, dir)
		if _, err := c.edit(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: want %q, got %v", name, c.says, err)
		}
		if after := snapshotOf(t, dir); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: something was written", name)
		}
	}
}

// snapshotOf reads every file of a folder, hidden ones, too.
func snapshotOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, f := range all {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[f.Name()] = string(data)
	}
	return content
}

func TestACreatedClientIsInOrderAndReadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := clients.Create(dir, "nextcloud",
		clients.Setting{Key: "scopes.groups.cn=cloud-users,ou=groups,dc=example,dc=org", Values: []string{"profile", "email"}},
		clients.Setting{Key: "scopes.everyone", Values: []string{"openid"}},
		clients.Setting{Key: "redirect_uris", Values: []string{"https://cloud.example.org/apps/user_oidc/code"}},
		clients.Setting{Key: "client_name", Values: []string{"Nextcloud"}},
		clients.Setting{Key: "client_secret_hash", Values: []string{hash}},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := `client_id: nextcloud
client_name: Nextcloud
client_secret_hash: ` + hash + `
redirect_uris:
  - https://cloud.example.org/apps/user_oidc/code
scopes:
  everyone: [openid]
  groups:
    cn=cloud-users,ou=groups,dc=example,dc=org: [profile, email]
`
	if got := read(t, dir, "nextcloud"); got != want {
		t.Errorf("got\n%s", got)
	}
	if found, err := open(t, dir).Client("nextcloud"); err != nil || !reflect.DeepEqual(found, c) {
		t.Errorf("got %+v, %v", found, err)
	}
	info, err := os.Stat(filepath.Join(dir, "nextcloud.yaml"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := clients.Create(dir, "nextcloud", clients.Setting{Key: "client_secret_hash", Values: []string{hash}}, clients.Setting{Key: "redirect_uris", Values: []string{"https://evil.example/"}}); !errors.Is(err, clients.ErrExists) {
		t.Errorf("creating it again: %v", err)
	}
	for _, id := range []string{"", "..", "a/b", ".hidden", "-option"} {
		if _, err := clients.Create(dir, id); err == nil {
			t.Errorf("%q was created", id)
		}
	}
	if got := len(snapshotOf(t, dir)); got != 1 {
		t.Errorf("%d files", got)
	}
}

func TestRemoveTakesOneFileAndSaysWhenThereIsNone(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a"), "b.yaml": named("b")})
	if err := clients.Remove(dir, "a"); err != nil {
		t.Error(err)
	}
	if err := clients.Remove(dir, "a"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := clients.Remove(dir, "../"+filepath.Base(dir)+"/b"); err == nil {
		t.Error("a path was taken for an id")
	}
	if s := open(t, dir); ids(s) != "b" {
		t.Errorf("left: %s", ids(s))
	}
}

func TestAnEditMendsAFileThatLacksItsSecret(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"nextcloud.yaml": without("client_secret_hash")})
	if _, err := clients.SetSecret(dir, "nextcloud", hash, ""); err != nil {
		t.Error(err)
	}
	open(t, dir)
}

func TestAnEditKeepsModeLinksAndLineEndings(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	target := filepath.Join(elsewhere, "real.yaml")
	write(t, target, strings.ReplaceAll(nextcloud, "\n", "\r\n"))
	if err := os.Chmod(target, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "nextcloud.yaml")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.SetField(dir, "nextcloud", "consent", "none"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is gone: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := read(t, dir, "nextcloud"); strings.Count(got, "\r\n") != strings.Count(got, "\n") || !strings.Contains(got, "consent: none\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestEditsOfManyGoroutinesAllCount(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"nextcloud.yaml": nextcloud})
	var group sync.WaitGroup
	const n = 20
	for i := range n {
		group.Go(func() {
			if _, err := clients.AddScopeMap(dir, "nextcloud", fmt.Sprintf("cn=g%d,dc=x", i), "openid"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	c, err := open(t, dir).Client("nextcloud")
	if err != nil || len(c.Scopes.Groups) != n+1 {
		t.Errorf("%v: %d maps", err, len(c.Scopes.Groups))
	}
}

// TestEditsOfSeveralProcessesAllCount runs this test binary again, once for
// every editor; the variable tells it that it is one.
func TestEditsOfSeveralProcessesAllCount(t *testing.T) {
	const variable, maps, processes = "CLIENTS_TEST_EDITOR", 10, 4
	if editor := os.Getenv(variable); editor != "" {
		dir, number, _ := strings.Cut(editor, "|")
		for i := range maps {
			if _, err := clients.AddScopeMap(dir, "nextcloud", fmt.Sprintf("cn=p%s-%d,dc=x", number, i), "openid"); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Parallel()
	dir := folder(t, map[string]string{"nextcloud.yaml": nextcloud})
	var group sync.WaitGroup
	for i := range processes {
		group.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestEditsOfSeveralProcessesAllCount$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", variable, dir, i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
	c, err := open(t, dir).Client("nextcloud")
	if err != nil || len(c.Scopes.Groups) != processes*maps+1 {
		t.Errorf("%v: %d maps", err, len(c.Scopes.Groups))
	}
	if got := len(snapshotOf(t, dir)); got != 1 {
		t.Errorf("%d files are left", got)
	}
}

func FuzzEdit(f *testing.F) {
	f.Add([]byte(commented), "client_name", "x")
	f.Add([]byte(nextcloud), "lifespans.code", "5s")
	f.Add([]byte(full), "scopes.everyone", "openid")
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		old, problems := clients.Parse("x", data)
		if len(problems) > 0 {
			return
		}
		after, err := clients.Assign(data, key, value)
		if err != nil {
			return
		}
		again, problems := clients.Parse("x", after)
		if len(problems) > 0 { // an edit of the file would be refused
			return
		}
		if key != "client_id" && again.ID != old.ID || key != "redirect_uris" && !reflect.DeepEqual(again.RedirectURIs, old.RedirectURIs) ||
			key != "client_secret_hash" && again.SecretHash != old.SecretHash || !reflect.DeepEqual(again.Scopes.Groups, old.Scopes.Groups) ||
			key != "allowed_groups" && !reflect.DeepEqual(again.AllowedGroups, old.AllowedGroups) {
			t.Fatalf("setting %s to %q changed more:\n%+v\n%+v", key, value, old, again)
		}
	})
}

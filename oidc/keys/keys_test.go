package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t *testing.T) (*keys.Ring, string, *clock) {
	t.Helper()
	dir, now := filepath.Join(t.TempDir(), "keys"), newClock()
	ring, err := keys.Open(dir, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	return ring, dir, now
}

// published returns the kids of a JWKS in its order.
func published(t *testing.T, ring *keys.Ring) (kids []string, set jose.JSONWebKeySet) {
	t.Helper()
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() || k.Use != "sig" || k.Algorithm == "" {
			t.Errorf("published: %v %s %s", k.IsPublic(), k.Use, k.Algorithm)
		}
		kids = append(kids, k.KeyID)
	}
	return kids, set
}

// states returns "kid-prefix:state" of the keys of one algorithm.
func states(ring *keys.Ring, alg string) string {
	var all []string
	for _, info := range ring.List() {
		if info.Alg == alg {
			all = append(all, string(info.State))
		}
	}
	return strings.Join(all, " ")
}

func TestTheFirstStartMakesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	if states(ring, keys.ES256) != "active" || states(ring, keys.RS256) != "active" {
		t.Errorf("keys %+v", ring.List())
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", entry.Name(), info.Mode(), err)
		}
	}
	again, err := keys.Open(dir, now.Now)
	if err != nil || !bytes.Equal(again.JWKS(), ring.JWKS()) || !bytes.Equal(again.Derive("x", 32), ring.Derive("x", 32)) {
		t.Errorf("opened again, something is new: %v", err)
	}
}

func TestLoadMakesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := keys.Load(dir, time.Now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var problems oidc.Problems
	if _, err := keys.Load(dir, time.Now); !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestAFirstStartThatWasCutShortIsFinished(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	for _, info := range ring.List() {
		if info.Alg == keys.RS256 {
			remove(t, dir, info.Kid+".json")
		}
	}
	write(t, dir, ".tmp-123", "half a key", 0o600)
	again, err := keys.Open(dir, now.Now)
	if err != nil || states(again, keys.RS256) != "active" || again.List()[0].Kid != ring.List()[0].Kid {
		t.Fatalf("keys %+v, error %v", again, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".tmp-123")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed writer left is still there: %v", err)
	}
}

func TestALostSecretIsNotReplacedSilently(t *testing.T) {
	t.Parallel()
	_, dir, now := open(t)
	remove(t, dir, "server.secret")
	_, err := keys.Open(dir, now.Now)
	var problems oidc.Problems
	if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(problems[0].Hint, "backup") {
		t.Errorf("error %v", err)
	}
}

func TestWhatRootWritesBelongsToTheOwnerOfTheFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can write for others")
	}
	ring, dir, _ := open(t)
	if err := os.Chown(dir, 4711, 4712); err != nil {
		t.Fatal(err)
	}
	made, err := ring.Create(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, made.Kid+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != 4711 || owner.Gid != 4712 || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %+v, mode %v", owner, info.Mode())
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, text string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// keyText is a key file with a private key as a JWK.
func keyText(t *testing.T, kid, alg string, private any) string {
	t.Helper()
	jwk, err := jose.JSONWebKey{Key: private}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"kid":%q,"alg":%q,"created_at":"2026-01-01T00:00:00Z","active_from":"2026-01-01T00:00:00Z","private_key":%s}`, kid, alg, jwk)
}

func TestEveryProblemOfAFolderIsToldAtOnce(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	first := ring.List()[0].Kid
	good, err := os.ReadFile(filepath.Join(dir, first+".json"))
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	mixed := ecdsa.PrivateKey{PublicKey: other.PublicKey, D: p256.D} //nolint:staticcheck // a damaged key on purpose
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(first+".json", filepath.Join(dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"sub": "does not belong", "link.json": "symbolic link",
	}
	for name, file := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"backup.json~":    {string(good), 0o600, "does not belong"},
		".x.json":         {string(good), 0o600, "does not belong"},
		"README":          {"keep out", 0o600, "does not belong"},
		"readable.json":   {keyText(t, "readable", "ES256", p256), 0o640, "others may read"},
		"empty.json":      {"", 0o600, "is empty"},
		"short.json":      {string(good[:len(good)/2]), 0o600, "cut short"},
		"garbage.json":    {"\x00\x01", 0o600, "not the JSON"},
		"unknownkey.json": {`{"kid":"unknownkey","x":1}`, 0o600, "not the JSON"},
		"twice.json":      {string(good) + string(good), 0o600, "behind the key"},
		"copy.json":       {string(good), 0o600, "belongs in " + first + ".json"},
		"nokid.json":      {`{"alg":"ES256"}`, 0o600, "no usable kid"},
		"hs.json":         {keyText(t, "hs", "HS256", []byte("0123456789abcdef0123456789abcdef")), 0o600, "not known"},
		"oct.json":        {keyText(t, "oct", "ES256", []byte("0123456789abcdef0123456789abcdef")), 0o600, "not a private key"},
		"public.json":     {keyText(t, "public", "ES256", &p256.PublicKey), 0o600, "not a private key"},
		"p384.json":       {keyText(t, "p384", "ES256", p384), 0o600, "curve P-384"},
		"swapped.json":    {keyText(t, "swapped", "RS256", p256), 0o600, "does not fit RS256"},
		"small.json":      {keyText(t, "small", "RS256", small), 0o600, "1024 bits"},
		"mixed.json":      {keyText(t, "mixed", "ES256", &mixed), 0o600, "do not belong together"},
		"damaged.json":    {`{"kid":"damaged","alg":"ES256","created_at":"2026-01-01T00:00:00Z","private_key":{"kty":"EC"}}`, 0o600, "damaged"},
		"ageless.json":    {strings.Replace(keyText(t, "ageless", "ES256", p256), `"created_at":"2026-01-01T00:00:00Z",`, "", 1), 0o600, "no created_at"},
		"double.json":     {strings.Replace(string(good), first, "double", 1), 0o600, "the same key"},
		"large.json":      {strings.Repeat(" ", 1<<17), 0o600, "too large"},
		"server.secret":   {"c2hvcnQ\n", 0o600, "cut short"},
	} {
		want[name] = file.want
		write(t, dir, name, file.text, file.mode)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	want["keys"] = "others may look"

	_, err = keys.Open(dir, now.Now)
	var problems oidc.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v", err)
	}
	for _, p := range problems {
		name := filepath.Base(p.File)
		if name == first+".json" {
			name = "double.json" // either of the two may be named
		}
		if want[name] == "" || !strings.Contains(p.Message, want[name]) || p.Hint == "" {
			t.Errorf("%s: %s (hint %q), want %q", name, p.Message, p.Hint, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("nothing is said about %s", name)
	}
	reloaded, err := ring.Reload()
	if !errors.As(err, &problems) || reloaded || len(ring.List()) != 2 {
		t.Errorf("a running ring took over a broken folder: %v", err)
	}
}

func TestReloadSeesWhatAnotherProcessDid(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	if changed, err := ring.Reload(); changed || err != nil {
		t.Errorf("nothing was done, and yet: %v %v", changed, err)
	}
	other, err := keys.Open(dir, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	info, err := other.Rotate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := ring.Reload(); !changed || err != nil {
		t.Fatalf("changed %v, error %v", changed, err)
	}
	if kids, _ := published(t, ring); !slices.Contains(kids, info.Kid) {
		t.Errorf("published %v, not %s", kids, info.Kid)
	}
}

func TestASecretThatChangesUnderARunningServerIsRefused(t *testing.T) {
	t.Parallel()
	ring, dir, _ := open(t)
	before := ring.Derive("cookies", 32)
	write(t, dir, "server.secret", strings.Repeat("A", 43)+"\n", 0o600)
	if _, err := ring.Reload(); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(before, ring.Derive("cookies", 32)) {
		t.Error("what is derived has changed")
	}
}

func TestDerivedSecretsDifferByPurpose(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	a, b := ring.Derive("cookies", 32), ring.Derive("pairwise", 32)
	if len(a) != 32 || bytes.Equal(a, b) || !bytes.Equal(a, ring.Derive("cookies", 32)) {
		t.Errorf("%d bytes, equal %v", len(a), bytes.Equal(a, b))
	}
}

// privateTexts returns the private numbers of all files, as they stand there.
func privateTexts(t *testing.T, dir string) (secrets []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			PrivateKey map[string]string `json:"private_key"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"d", "p", "q", "dp", "dq", "qi"} {
			if text := file.PrivateKey[part]; text != "" {
				secrets = append(secrets, text)
			}
		}
	}
	secret, err := os.ReadFile(filepath.Join(dir, "server.secret"))
	if err != nil {
		t.Fatal(err)
	}
	if len(secrets) != 7 {
		t.Fatalf("%d private numbers", len(secrets))
	}
	return append(secrets, strings.TrimSpace(string(secret)))
}

func TestPrivateKeysAreNeverShown(t *testing.T) {
	t.Parallel()
	ring, dir, _ := open(t)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("ring", "keys", ring, "list", ring.List())
	slog.New(slog.NewTextHandler(&out, nil)).Info("ring", "keys", ring, "list", ring.List())
	holder := struct{ Keys *keys.Ring }{ring}
	fmt.Fprintf(&out, "%v %+v %#v %s %v %+v %#v", ring, ring, ring, ring, holder, holder, holder)
	for _, value := range []any{ring, holder, ring.List()} {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	out.Write(ring.JWKS())
	for _, secret := range privateTexts(t, dir) {
		if strings.Contains(out.String(), secret) {
			t.Errorf("shown: %s…", secret[:6])
		}
	}
}

func TestProblemsQuoteNothingFromAKeyFile(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	secrets := privateTexts(t, dir)
	for i, info := range ring.List() {
		path := filepath.Join(dir, info.Kid+".json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		broken := [][]byte{bytes.Replace(data, []byte(`"kty": "`), []byte(`"kty": 1, "x": "`), 1), data[:len(data)-5]}[i]
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := keys.Open(dir, now.Now)
	if err == nil {
		t.Fatal("broken files were taken")
	}
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("quoted: %v", err)
		}
	}
}

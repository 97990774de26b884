package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/oidc"
)

const (
	secretFile  = "server.secret"
	secretBytes = 32
	tempPrefix  = ".tmp-"
	// clientsFolder holds a folder of keys for each client that has its own.
	clientsFolder = "clients"
	maxFile       = 64 << 10
)

// keyFile is the JSON of one key. Times are RFC 3339.
type keyFile struct {
	Kid        string          `json:"kid"`
	Alg        string          `json:"alg"`
	CreatedAt  time.Time       `json:"created_at"`
	ActiveFrom time.Time       `json:"active_from,omitzero"` // left out for a spare
	PrivateKey json.RawMessage `json:"private_key"`          // JWK, RFC 7517
}

// folder is all that a keys folder holds.
type folder struct {
	keys   []*key
	secret []byte
	digest [sha256.Size]byte // over names and contents, to see a change
}

// readFolder reads and checks the whole folder. What is missing is not a problem
// here; see missing. It never writes.
func readFolder(dir string) (f *folder, err error) {
	for range 3 { // another process may retire a key between listing and reading
		if f, err = readFolderOnce(dir); !errors.Is(err, errVanished) {
			return f, err
		}
	}
	return nil, err
}

var errVanished = errors.New("files come and go")

func readFolderOnce(dir string) (*folder, error) {
	var problems oidc.Problems
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("keys folder: %w", err)
	}
	if !info.IsDir() {
		return nil, oidc.Problems{{File: dir, Message: "is not a folder", Hint: "keys_dir names a folder with the signing keys"}}
	}
	if info.Mode().Perm()&0o077 != 0 {
		problems = append(problems, oidc.Problem{
			File: dir, Message: fmt.Sprintf("others may look into it (mode %04o)", info.Mode().Perm()), Hint: "chmod 700 " + dir,
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("keys folder: %w", err)
	}
	f := &folder{}
	digest := sha256.New()
	for _, entry := range entries {
		name, path := entry.Name(), filepath.Join(dir, entry.Name())
		if ignored(entry) {
			continue
		}
		if name != secretFile && !strings.HasSuffix(name, ".json") || strings.HasPrefix(name, ".") {
			problems = append(problems, oidc.Problem{
				File: path, Message: "does not belong in the keys folder", Hint: "move it elsewhere; a copy of a private key is best deleted",
			})
			continue
		}
		data, problem := readSecretFile(path)
		if _, err := os.Lstat(path); problem != nil && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("keys folder: %w", errVanished)
		}
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		_, _ = fmt.Fprintf(digest, "%s %d\n%s\n", name, len(data), data) // a hash never fails
		if name == secretFile {
			f.secret, problem = parseSecret(path, data)
		} else {
			var k *key
			if k, problem = parseKey(path, data); problem == nil {
				f.keys = append(f.keys, k)
			}
		}
		if problem != nil {
			problems = append(problems, *problem)
		}
	}
	problems = append(problems, doubles(dir, f.keys)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	digest.Sum(f.digest[:0])
	return f, nil
}

// ignored reports whether an entry is a file that is being written, that of the lock,
// the folder of the clients' own keys, or what a file system puts at its root.
func ignored(entry fs.DirEntry) bool {
	name := entry.Name()
	return strings.HasPrefix(name, tempPrefix) || name == lockFile || (name == "lost+found" || name == clientsFolder) && entry.IsDir()
}

// doubles finds keys that are there twice: under one kid, a token could be
// checked against the wrong one.
func doubles(dir string, keys []*key) (problems oidc.Problems) {
	seen := map[string]string{}
	for _, k := range keys {
		jwk := jose.JSONWebKey{Key: k.public()}
		thumb, err := jwk.Thumbprint(crypto.SHA256)
		if err != nil {
			continue // a key that was parsed has a thumbprint
		}
		if other, double := seen[string(thumb)]; double {
			problems = append(problems, oidc.Problem{
				File: filepath.Join(dir, k.kid+".json"), Message: "holds the same key as " + other + ".json", Hint: "delete one of the two",
			})
		}
		seen[string(thumb)] = k.kid
	}
	return problems
}

// readSecretFile reads a file that nobody but us may read. Links are refused: they
// hide who may change what they point to.
func readSecretFile(path string) ([]byte, *oidc.Problem) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, &oidc.Problem{File: path, Message: "is a symbolic link", Hint: "put the file itself here"}
	}
	if err != nil {
		return nil, &oidc.Problem{File: path, Message: "can't be opened: " + reason(err), Hint: "it must belong to the user that gatehouse runs as"}
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, &oidc.Problem{File: path, Message: "can't be examined: " + reason(err)}
	case !info.Mode().IsRegular():
		return nil, &oidc.Problem{File: path, Message: "is not a regular file", Hint: "move it elsewhere"}
	case info.Mode().Perm()&0o077 != 0:
		return nil, &oidc.Problem{
			File: path, Message: fmt.Sprintf("others may read or change it (mode %04o)", info.Mode().Perm()),
			Hint: "chmod 600 " + path + ", and if others have been able to read it, put new keys in place with key rotate and key retire",
		}
	case info.Size() > maxFile:
		return nil, &oidc.Problem{File: path, Message: "is too large for what it should be", Hint: "restore it from a backup"}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, &oidc.Problem{File: path, Message: "can't be read: " + reason(err)}
	}
	return data, nil
}

// reason returns what the system said, without the path, which stands before it.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

func parseSecret(path string, data []byte) ([]byte, *oidc.Problem) {
	secret, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSuffix(string(data), "\n"))
	if err != nil || len(secret) != secretBytes {
		return nil, &oidc.Problem{
			File: path, Message: fmt.Sprintf("is cut short or was changed: it must be one line of %d characters", base64.RawURLEncoding.EncodedLen(secretBytes)),
			Hint: "restore it from a backup; without it, sign-ins end and pairwise subjects change",
		}
	}
	return secret, nil
}

var kidForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// parseKey reads one key file. Its messages are its own: those of parsers quote
// what they read, and here that is a private key.
func parseKey(path string, data []byte) (*key, *oidc.Problem) {
	const restore = "restore it from a backup, or delete it if another key of its algorithm is there"
	problem := func(message, hint string) (*key, *oidc.Problem) {
		return nil, &oidc.Problem{File: path, Message: message, Hint: hint}
	}
	var file keyFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		if len(data) == 0 {
			return problem("is empty", restore)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return problem("is cut short", restore)
		}
		return problem("is not the JSON of a key", restore)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problem("has something behind the key", restore)
	}
	switch {
	case !kidForm.MatchString(file.Kid):
		return problem("has no usable kid", "a kid is made of letters, digits, - and _")
	case file.Kid+".json" != filepath.Base(path):
		return problem(fmt.Sprintf("holds the key %s, which belongs in %s.json", file.Kid, file.Kid), "rename it, or delete it if that file is there too")
	case !slices.Contains(Asymmetric(), file.Alg):
		return problem(unknownAlgorithm(file.Alg).Error(), restore)
	case file.CreatedAt.IsZero():
		return problem("has no created_at", restore)
	}
	a, _ := lookup(file.Alg) // it is one of Asymmetric
	k := &key{kid: file.Kid, alg: file.Alg, algorithm: a, createdAt: file.CreatedAt, activeFrom: file.ActiveFrom}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(file.PrivateKey); err != nil {
		return problem("its private_key is damaged", restore)
	}
	if message := k.take(jwk.Key); message != "" {
		return problem(message, restore)
	}
	k.header = k.encodeHeader("JWT")
	return k, nil
}

// take sets the private key, or says why it doesn't fit the algorithm.
func (k *key) take(private any) (problem string) {
	switch p := private.(type) {
	case *ecdsa.PrivateKey:
		raw, err := p.Bytes()
		if err != nil {
			return "its private_key is damaged"
		}
		again, err := ecdsa.ParseRawPrivateKey(p.Curve, raw)
		if err != nil || !again.PublicKey.Equal(&p.PublicKey) {
			return "private and public part of its private_key do not belong together"
		}
		k.private = again
	case *rsa.PrivateKey:
		if err := p.Validate(); err != nil {
			return "the numbers of its private_key do not belong together"
		}
		k.private = p
	case ed25519.PrivateKey:
		if len(p) != ed25519.PrivateKeySize {
			return "its private_key is damaged"
		}
		again := ed25519.NewKeyFromSeed(p.Seed())
		if !again.Equal(p) {
			return "private and public part of its private_key do not belong together"
		}
		k.private = again
	default:
		return "its private_key is not a private key"
	}
	if fault := k.algorithm.fault(k.public()); fault != "" {
		return "its private_key " + fault
	}
	return ""
}

// needs are what a folder must hold to be of use.
type needs struct {
	algorithms []string // with a key of each that may sign
	secret     bool
}

// missing says what a folder lacks to serve.
func (f *folder) missing(dir string, n needs) (problems oidc.Problems) {
	if n.secret && f.secret == nil {
		hint := "the first start of gatehouse serve makes it"
		if len(f.keys) > 0 {
			hint = "restore it from a backup: the keys beside it are older, and without it pairwise subjects change. " +
				"If no client has pairwise subjects, delete the keys too and the next start makes all anew"
		}
		problems = append(problems, oidc.Problem{File: filepath.Join(dir, secretFile), Message: "no such file", Hint: hint})
	}
	for _, alg := range n.algorithms {
		if keys := ofAlg(f.keys, alg); len(keys) == 0 || keys[0].activeFrom.IsZero() {
			problems = append(problems, oidc.Problem{File: dir, Message: "has no " + alg + " key that may sign", Hint: "gatehouse serve makes one at its start"})
		}
	}
	return problems
}

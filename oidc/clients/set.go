package clients

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/oidc"
)

// MaxFiles is the largest number of client files in a folder.
const MaxFiles = 10_000

const suffix = ".yaml"

// settled is how old a file's time must be before it proves that nothing was
// written since: file systems tell time in steps.
const settled = 2 * time.Second

// Set is the clients of one folder at one moment, and the way to the next
// moment. It may be used by several goroutines at once.
type Set struct {
	dir      string
	snapshot atomic.Pointer[snapshot]

	mu   sync.Mutex        // one Reload at a time
	last map[string]*entry // what the last look found, good or bad, by file name
}

type snapshot struct {
	files    map[string]*entry
	byID     map[string]*oidc.Client
	sorted   []*oidc.Client
	warnings []oidc.Problem
}

// entry is one file as it was last read. It never changes.
type entry struct {
	info     fs.FileInfo
	racy     bool // written so shortly before it was read that its time proves nothing
	sum      [sha256.Size]byte
	client   *oidc.Client // nil if there are problems
	id       string       // also of a bad file, so that two with one id are told
	idLine   int
	problems []oidc.Problem
}

// Open reads the client files of a folder. An error about their content is
// oidc.Problems and tells everything that is wrong with any of them.
//
// Client files hold hashes only, of secrets with 256 random bits or hashes that
// are slow on purpose, so they may be readable for everyone: whoever reads one
// gets in nowhere.
func Open(dir string) (*Set, error) {
	s := &Set{dir: dir}
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Client returns the client with this id, or oidc.ErrNotFound.
func (s *Set) Client(id string) (*oidc.Client, error) {
	if c, found := s.snapshot.Load().byID[id]; found {
		return c, nil
	}
	return nil, fmt.Errorf("client: %w", oidc.ErrNotFound) // the id is a stranger's: not echoed
}

// All returns every client, sorted by id.
func (s *Set) All() []*oidc.Client { return slices.Clone(s.snapshot.Load().sorted) }

// Warnings tells what the valid clients had better not be, with their files.
func (s *Set) Warnings() []oidc.Problem { return slices.Clone(s.snapshot.Load().warnings) }

// Reload looks for changes and takes all of them over, or none: while one file
// is bad, every client stays as it was and the error is oidc.Problems, the same
// at every look until the file is mended. Looking costs one stat a file. changed
// reports whether there are new clients to see.
func (s *Set) Reload() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, problems, err := listFiles(s.dir)
	if err != nil {
		return false, err
	}
	files := make(map[string]*entry, len(names))
	for _, name := range names {
		e, err := s.look(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed since it was listed
		case err != nil:
			problems = append(problems, oidc.Problem{File: filepath.Join(s.dir, name), Message: "it can't be read: " + withoutPath(err).Error(), Hint: "make it a plain file that the server's account can read"})
		default:
			files[name] = e
			problems = append(problems, e.problems...)
		}
	}
	s.last = files // what is good among bad files is not read again, but not taken over either
	problems = append(problems, idProblems(s.dir, names, files)...)
	if len(problems) > 0 {
		return false, oidc.Problems(problems)
	}
	if old := s.snapshot.Load(); old != nil && sameContent(old.files, files) {
		return false, nil
	}
	s.snapshot.Store(newSnapshot(s.dir, names, files))
	return true, nil
}

// listFiles returns the names of the client files, sorted. What editors leave
// lying about (.x.yaml.swp, x.yaml~, #x.yaml#) doesn't count; x.yml and x.YAML
// are problems, because somebody thinks that they count.
func listFiles(dir string) (names []string, problems []oidc.Problem, err error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the client files: %w", err)
	}
	for _, f := range all {
		name := f.Name()
		ext := strings.ToLower(filepath.Ext(name))
		switch {
		case strings.HasPrefix(name, "."), ext != suffix && ext != ".yml":
		case !strings.HasSuffix(name, suffix):
			problems = append(problems, oidc.Problem{File: filepath.Join(dir, name), Message: "the name doesn't end in " + suffix + ", so it would be overlooked", Hint: "rename it to " + strings.TrimSuffix(name, filepath.Ext(name)) + suffix})
		default:
			names = append(names, name)
		}
	}
	if len(names) > MaxFiles {
		return nil, nil, oidc.Problems{{File: dir, Message: fmt.Sprintf("there are %d client files, more than %d", len(names), MaxFiles), Hint: "is this the right folder?"}}
	}
	return names, problems, nil
}

// look returns the entry of a file, from the last look if nothing was written
// to it since.
func (s *Set) look(name string) (*entry, error) {
	path := filepath.Join(s.dir, name)
	info, err := os.Stat(path) // through links: that is how configuration is mounted into containers
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for ever
		return nil, errors.New("not a plain file")
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, errors.New("everybody on this machine can change it; take that away with chmod o-w")
	}
	old := s.last[name]
	if old != nil && !old.racy && sameFile(old.info, info) {
		return old, nil
	}
	e, data, err := readEntry(path)
	if err != nil {
		return nil, err
	}
	if old != nil && old.sum == e.sum {
		e.client, e.id, e.idLine, e.problems = old.client, old.id, old.idLine, old.problems
		return e, nil
	}
	d := parse(path, data)
	e.id, e.idLine, e.problems = d.client.ID, d.lines["client_id"], d.problems
	if len(d.problems) == 0 {
		e.client = &d.client
	}
	return e, nil
}

// readEntry reads a file until it holds still: a file that is being written in
// place might be cut short and yet be valid, without its last restrictions.
func readEntry(path string) (*entry, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for range 10 {
		before, err := f.Stat()
		if err != nil {
			return nil, nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, nil, err
		}
		data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
		if err != nil {
			return nil, nil, err
		}
		after, err := f.Stat()
		if err != nil {
			return nil, nil, err
		}
		if sameFile(before, after) && (len(data) > MaxFile || int64(len(data)) == after.Size()) {
			return &entry{info: after, racy: time.Since(after.ModTime()) < settled, sum: sha256.Sum256(data)}, data, nil
		}
	}
	return nil, nil, errors.New("it changes while it is read")
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func sameContent(a, b map[string]*entry) bool {
	if len(a) != len(b) {
		return false
	}
	for name, e := range a {
		if other := b[name]; other == nil || other.sum != e.sum {
			return false
		}
	}
	return true
}

// idProblems holds files to the rule CLIENT_ID.yaml: the commands find a client
// by its file, and a copy whose id was forgotten shows at once.
func idProblems(dir string, names []string, files map[string]*entry) (problems []oidc.Problem) {
	owner := map[string]string{} // id → the file that has it by right, or was first
	for _, name := range names {
		if e := files[name]; e != nil && e.id != "" && (owner[e.id] == "" || name == e.id+suffix) {
			owner[e.id] = name
		}
	}
	for _, name := range names {
		e := files[name]
		if e == nil || e.id == "" || name == e.id+suffix {
			continue
		}
		p := oidc.Problem{File: filepath.Join(dir, name), Line: e.idLine, Key: "client_id"}
		if first := owner[e.id]; first != name {
			p.Message = fmt.Sprintf("%s is the id of another client, in %s:%d", clip(e.id), filepath.Join(dir, first), files[first].idLine)
			p.Hint = "give one of the two another id, or remove one file"
		} else {
			p.Message = fmt.Sprintf("the file of the client %s is not named after it", clip(e.id))
			p.Hint = "rename the file to " + clip(e.id) + suffix + ", or change client_id"
		}
		problems = append(problems, p)
	}
	return problems
}

func newSnapshot(dir string, names []string, files map[string]*entry) *snapshot {
	n := &snapshot{files: files, byID: make(map[string]*oidc.Client, len(files))}
	for _, name := range names {
		e := files[name]
		if e == nil {
			continue
		}
		n.byID[e.id] = e.client
		n.sorted = append(n.sorted, e.client)
		for _, w := range Warnings(e.client) {
			w.File = filepath.Join(dir, name)
			n.warnings = append(n.warnings, w)
		}
	}
	slices.SortFunc(n.sorted, func(a, b *oidc.Client) int { return strings.Compare(a.ID, b.ID) })
	return n
}

// withoutPath leaves the path out of an error that is told beside it.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

package oidc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A room is one folder and what its production code may import besides the
// standard library. "gatehouse/oidc/..." stands for a package and all beneath it.
type room struct {
	dir   string
	may   []string
	never []ban // imports of the standard library that this room has no business with
}

// A ban is something that must not be imported, and why.
type ban struct{ pkg, why string }

// rooms is the table of the house. A new folder needs a row here before it
// compiles into anything: that is the moment to ask what it owns.
var rooms = []room{
	{dir: "cmd/gatehouse", may: []string{"gatehouse/...", "github.com/spf13/cobra", "golang.org/x/term"}, never: []ban{
		{"database/sql", "SQL is the store's; a command calls it"},
	}},
	// The demo's application is a stranger: it knows the protocol and nothing else of us.
	{dir: "cmd/gatehouse/demoapp", may: []string{"github.com/coreos/go-oidc/v3/oidc", "golang.org/x/oauth2"}},
	{dir: "cmd/bench", may: []string{"gatehouse/ldapstore", "github.com/coreos/go-oidc/v3/oidc"}},
	{dir: "config", may: []string{"github.com/spf13/viper", "github.com/go-viper/mapstructure/v2", "go.yaml.in/yaml/v3"}, never: []ban{
		{"net/http", "the configuration describes servers, it starts none"},
		{"database/sql", "SQL is the store's"},
	}},
	{dir: "ldapstore", may: []string{"gatehouse/oidc", "github.com/go-ldap/ldap/v3", "github.com/go-asn1-ber/asn1-ber", "golang.org/x/text/..."}, never: []ban{
		{"net/http", "a directory is asked over LDAP"},
		{"database/sql", "nothing that the directory says is kept"},
	}},
	{dir: "ldapstore/demodir", may: []string{"gatehouse/oidc", "github.com/go-asn1-ber/asn1-ber"}, never: []ban{
		{"net/http", "it speaks LDAP"},
	}},
	{dir: "ldapstore/ldaptest", may: []string{"github.com/go-ldap/ldap/v3"}},
	{dir: "oidc", may: []string{"golang.org/x/text/unicode/norm"}, never: []ban{
		{"net/http", "the words know no protocol"},
		{"database/sql", "the words know no store"},
		{"os", "the words do no I/O"},
		{"net", "the words do no I/O"},
	}},
	{dir: "oidc/oidctest", may: []string{"gatehouse/oidc"}},
	{dir: "oidc/clients", may: []string{"gatehouse/oidc", "gatehouse/oidc/keys", "go.yaml.in/yaml/v3", "github.com/go-crypt/crypt/..."}, never: []ban{
		{"database/sql", "clients are files"},
		{"net/http", "clients are files"},
	}},
	{dir: "oidc/claims", may: []string{"gatehouse/oidc"}, never: []ban{
		{"os", "pure: what goes in decides what comes out"},
		{"io", "pure: what goes in decides what comes out"},
		{"net", "pure: what goes in decides what comes out"},
		{"net/http", "pure: what goes in decides what comes out"},
		{"log/slog", "pure: the trace is a value, the caller logs"},
		{"context", "pure: nothing here waits"},
	}},
	{dir: "oidc/keys", may: []string{"gatehouse/oidc", "github.com/go-jose/go-jose/v4"}, never: []ban{
		{"net/http", "keys are files; the provider serves the JWKS"},
		{"database/sql", "keys are files"},
	}},
	{dir: "oidc/outbound", never: []ban{
		{"database/sql", "what is fetched is kept by whoever asked for it"},
	}},
	{dir: "oidc/store", may: []string{"gatehouse/oidc", "github.com/mattn/go-sqlite3", "github.com/jackc/pgx/v5/..."}, never: []ban{
		{"net/http", "the store knows no protocol"},
	}},
	{dir: "oidc/store/storetest", may: []string{"gatehouse/oidc", "gatehouse/oidc/store"}, never: []ban{
		{"database/sql", "what any store must do is said without drivers"},
	}},
	{dir: "oidc/provider", may: []string{
		"gatehouse/oidc", "gatehouse/oidc/claims", "gatehouse/oidc/clients", "gatehouse/oidc/keys", "gatehouse/oidc/store",
		"github.com/ory/fosite/...",
	}, never: []ban{
		{"database/sql", "SQL is the store's"},
	}},
	{dir: "oidc/web", may: []string{
		"gatehouse/oidc", "gatehouse/oidc/provider", "gatehouse/templates", "gatehouse/static",
		"github.com/labstack/echo/v4/...", "golang.org/x/text/...", "github.com/boombuler/barcode/qr",
	}, never: []ban{
		{"database/sql", "SQL is the store's"},
		{"html/template", "templates parses and fills, the web says with what"},
	}},
	{dir: "templates", may: []string{"golang.org/x/text/..."}, never: []ban{
		{"net/http", "a page is bytes; the web sends them"},
	}},
	{dir: "static", may: []string{"golang.org/x/text/..."}},
}

// libraries live in one room each, so that replacing one is work in one folder.
// Tests are free.
var libraries = []struct {
	pkg   string
	rooms []string
	why   string
}{
	{"github.com/labstack/echo", []string{"oidc/web"}, "routes and middleware are the web's; everything else is a plain http.Handler"},
	{"github.com/ory/fosite", []string{"oidc/provider"}, "the protocol engine is behind our own types; its quirks are mended in one place"},
	{"github.com/go-ldap/ldap", []string{"ldapstore", "ldapstore/ldaptest"}, "pools, time-outs and referrals are hard-won; nobody else speaks LDAP"},
	{"github.com/go-asn1-ber/asn1-ber", []string{"ldapstore/demodir", "ldapstore"}, "raw BER is for the embedded directory, and for controls that go-ldap lacks"},
	{"github.com/boombuler/barcode", []string{"oidc/web"}, "a picture for the pages of devices, and nothing else of it"},
	{"github.com/spf13/viper", []string{"config"}, "it lowers keys and splits them at dots: client files and DNs must never pass through it"},
	{"github.com/spf13/cobra", []string{"cmd/gatehouse"}, "commands are the outermost layer"},
	{"github.com/mattn/go-sqlite3", []string{"oidc/store"}, "all SQL is in the store"},
	{"github.com/jackc/pgx", []string{"oidc/store"}, "all SQL is in the store"},
	{"github.com/go-jose/go-jose", []string{"oidc/keys"}, "private keys never leave their room"},
	{"github.com/go-crypt", []string{"oidc/clients"}, "client secrets are checked in one place, in constant time"},
	{"go.yaml.in/yaml", []string{"oidc/clients", "config"}, "YAML is for the files of operators"},
	{"github.com/chromedp", nil, "browsers are for tests"},
	{"github.com/coreos/go-oidc", []string{"cmd/bench", "cmd/gatehouse/demoapp"}, "the relying party's side: the demo application and the benchmark only"},
	{"golang.org/x/oauth2", []string{"cmd/gatehouse/demoapp"}, "the relying party's side: the demo application only"},
	{"gatehouse/ldapstore/demodir", []string{"cmd/gatehouse"}, "the embedded directory belongs to the demo; production asks a real one"},
	{"gatehouse/ldapstore/ldaptest", nil, "it starts programs, for tests"},
	{"gatehouse/oidc/oidctest", nil, "fakes are for tests"},
	{"gatehouse/oidc/store/storetest", nil, "it fails tests, nothing else"},
	{"testing", []string{"ldapstore/ldaptest", "oidc/store/storetest"}, "it registers flags and has no place in the program"},
}

// sourceFile is one production file with its imports.
type sourceFile struct {
	name string // path from the module's root, with slashes
	dir  string
	tree *ast.File
}

func (f sourceFile) imports() []string {
	var paths []string
	for _, spec := range f.tree.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has read it already
		}
		paths = append(paths, p)
	}
	return paths
}

func TestEveryRoomImportsOnlyWhatItMay(t *testing.T) {
	t.Parallel()
	for _, f := range productionFiles(t) {
		i := slices.IndexFunc(rooms, func(r room) bool { return r.dir == f.dir })
		if i < 0 {
			t.Errorf("%s: the folder %s has no row in the table of rooms", f.name, f.dir)
			continue
		}
		r := rooms[i]
		for _, p := range f.imports() {
			for _, b := range r.never {
				if p == b.pkg {
					t.Errorf("%s: imports %q: %s", f.name, p, b.why)
				}
			}
			if !standard(p) && !slices.ContainsFunc(r.may, func(may string) bool { return within(p, may) }) {
				t.Errorf("%s: %s may not import %q", f.name, r.dir, p)
			}
		}
	}
}

func TestEveryLibraryHasItsRoom(t *testing.T) {
	t.Parallel()
	for _, f := range productionFiles(t) {
		for _, p := range f.imports() {
			for _, l := range libraries {
				if within(p, l.pkg+"/...") && !slices.Contains(l.rooms, f.dir) {
					t.Errorf("%s: imports %q, which belongs to %v: %s", f.name, p, l.rooms, l.why)
				}
			}
		}
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	t.Parallel()
	for _, f := range productionFiles(t) {
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: has an init function: what it sets up cannot be passed in, tested or left out", f.name)
			}
		}
	}
}

func TestNoRoomIsALumberRoom(t *testing.T) {
	t.Parallel()
	for _, f := range productionFiles(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc", "shared"}, f.tree.Name.Name) {
			t.Errorf("%s: package %s does not say what it owns", f.name, f.tree.Name.Name)
		}
	}
}

func TestTheClockIsPassedIn(t *testing.T) {
	t.Parallel()
	// Everyone else may take time.Now as the default of a parameter; a pure
	// room has no default to take.
	for _, f := range productionFiles(t) {
		if f.dir != "oidc/claims" && f.dir != "oidc" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Now" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s: reads the clock", f.name)
				}
			}
			return true
		})
	}
}

// within says whether an import is the package, or with a trailing "/..." beneath it.
func within(imported, pattern string) bool {
	prefix, ok := strings.CutSuffix(pattern, "/...")
	return imported == prefix || ok && strings.HasPrefix(imported, prefix+"/")
}

// standard says whether an import is of the standard library: its first element
// has no dot, and it is not ours.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return first != "gatehouse" && !strings.Contains(first, ".")
}

// productionFiles parses every file of the module that is no test.
func productionFiles(t *testing.T) []sourceFile {
	t.Helper()
	root := os.DirFS("..")
	if _, err := fs.Stat(root, "go.mod"); err != nil {
		t.Fatalf("the module's root is not above this folder: %v", err)
	}
	var files []sourceFile
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, sourceFile{name: name, dir: path.Dir(name), tree: tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no file found")
	}
	return files
}

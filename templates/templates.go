package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

//go:embed *.html words/*.json
var embedded embed.FS

// The files of a set. Those that are shared are parsed before each page.
var (
	sharedFiles = []string{"layout.html", "parts.html"}
	pageFiles   = []string{"consent.html", "device.html", "devicedone.html", "error.html", "leave.html", "password.html", "signedout.html", "signin.html", "signout.html"}
)

// defined returns the templates that a file has to define.
func defined(file string) []string {
	switch file {
	case "layout.html":
		return []string{"layout"}
	case "parts.html":
		return []string{"sentence", "client", "way-back", "icon"}
	}
	return []string{"title", "main"}
}

// Set is every page in every language, ready to be written. It doesn't change
// after Load and may be used by many at once.
type Set struct {
	pages     map[string]page   // by file name
	words     map[string]*words // by language
	languages *languages
	asset     func(name string) string
	buffers   sync.Pool
}

// page is a page's template and the file it comes from.
type page struct {
	*template.Template
	shown string
}

// Option changes how a set is loaded.
type Option func(*Set)

// WithAssets gives the function that tells the address of a static file, such
// as static.Assets.URL. Without it the files are taken to be at /static/NAME.
func WithAssets(address func(name string) string) Option {
	return func(s *Set) { s.asset = address }
}

// Load reads the pages and words that come with the program and lays those of
// the folder overrideDir over them, if it is not "": NAME.html replaces the page
// or part of that name, words/LANGUAGE.json replaces single sentences or adds a
// language. Other files in the folder are left alone.
//
// Each page is then rendered with sample data, and where there is an override
// in each language, so that what is wrong stops the start and not the first
// sign-in. The error tells every problem found, with file and line.
func Load(overrideDir string, options ...Option) (*Set, error) {
	s := &Set{
		pages:   make(map[string]page, len(pageFiles)),
		words:   map[string]*words{},
		asset:   func(name string) string { return "/static/" + name },
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	for _, option := range options {
		option(s)
	}
	if err := s.readWords(overrideDir); err != nil {
		return nil, err
	}
	sources, err := readPages(overrideDir)
	if err != nil {
		return nil, err
	}
	if err := s.parse(sources); err != nil {
		return nil, err
	}
	languages := s.languages.names
	if overrideDir == "" {
		languages = languages[:1] // the rest has been tested, and a start should be quick
	}
	if err := s.rehearse(languages); err != nil {
		return nil, err
	}
	return s, nil
}

// Language returns the best language of the set for an Accept-Language header
// and the request parameter ui_locales, which goes first. It never fails: what
// can't be read doesn't count, and English is what remains.
func (s *Set) Language(acceptLanguage, uiLocales string) string {
	return s.languages.pick(acceptLanguage, uiLocales)
}

// Languages returns the tags of the languages of the set, English first.
func (s *Set) Languages() []string { return slices.Clone(s.languages.names) }

func (s *Set) readWords(overrideDir string) error {
	if err := readWords(s.words, embedded, "templates", nil); err != nil {
		return err
	}
	if overrideDir != "" {
		known := maps.Clone(s.words[english].says)
		if err := readWords(s.words, os.DirFS(overrideDir), overrideDir, known); err != nil {
			return err
		}
	}
	complete(s.words)
	names := slices.Sorted(maps.Keys(s.words))
	names = slices.DeleteFunc(names, func(name string) bool { return name == english })
	s.languages = newLanguages(append([]string{english}, names...))
	return nil
}

// source is the text of one file and the name that errors call it by.
type source struct{ shown, text string }

// readPages returns the files of the set by name, each from the folder
// overrideDir if it is there.
func readPages(overrideDir string) (map[string]source, error) {
	known := slices.Concat(sharedFiles, pageFiles)
	sources := make(map[string]source, len(known))
	for _, name := range known {
		text, err := fs.ReadFile(embedded, name)
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		sources[name] = source{shown: path.Join("templates", name), text: string(text)}
	}
	if overrideDir == "" {
		return sources, nil
	}
	entries, err := os.ReadDir(overrideDir)
	if err != nil {
		return nil, fmt.Errorf("reading the folder of templates: %w", err)
	}
	folder := os.DirFS(overrideDir)
	var problems []error
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || filepath.Ext(name) != ".html" || strings.HasPrefix(name, ".") {
			continue
		}
		shown := filepath.Join(overrideDir, name)
		if !slices.Contains(known, name) {
			problems = append(problems, fmt.Errorf("%s: no page has this name: there are %s", shown, strings.Join(known, ", ")))
			continue
		}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", shown, err))
			continue
		}
		sources[name] = source{shown: shown, text: string(text)}
	}
	return sources, errors.Join(problems...)
}

// parse makes a template of each page and the shared files.
func (s *Set) parse(sources map[string]source) error {
	var problems []error
	shared := template.New("shared")
	for _, name := range sharedFiles {
		problems = append(problems, sources[name].parse(shared, defined(name)))
	}
	for _, name := range pageFiles {
		own, err := shared.Clone()
		if err != nil {
			return fmt.Errorf("templates: %w", err)
		}
		problems = append(problems, sources[name].parse(own, defined(name)))
		s.pages[name] = page{own, sources[name].shown}
	}
	return errors.Join(problems...)
}

// parse adds a file to a template and sees that it defines what it has to. The
// template goes by the file's name, which so stands in every later error.
func (f source) parse(into *template.Template, names []string) error {
	if _, err := into.New(f.shown).Parse(f.text); err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		if into.Lookup(name) == nil {
			problems = append(problems, fmt.Errorf("%s: defines no template %q", f.shown, name))
		}
	}
	return errors.Join(problems...)
}

// write renders a page into a buffer and then writes it at once, so that a page
// that can't be rendered leaves w untouched for another.
func (s *Set) write(w io.Writer, name string, view any) error {
	buffer, _ := s.buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	defer s.buffers.Put(buffer)
	if err := s.pages[name].ExecuteTemplate(buffer, "layout", view); err != nil {
		return fmt.Errorf("rendering %s: %w", s.pages[name].shown, err)
	}
	if _, err := w.Write(buffer.Bytes()); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// rehearse renders every page with sample data.
func (s *Set) rehearse(languages []string) error {
	client := ClientInfo{
		ID: "sample", Name: "Sample", URI: "https://app.example", LogoURI: "https://app.example/logo.svg",
		PolicyURI: "https://app.example/policy", TosURI: "https://app.example/terms",
	}
	scopes := []string{"openid", "profile", "sample"}
	var problems []error
	for _, lang := range languages {
		problems = append(problems,
			s.SignIn(io.Discard, lang, SignIn{}),
			s.SignIn(io.Discard, lang, SignIn{Client: client, Username: "sample", Problem: ProblemWrong, RememberOffered: true, ChangeURL: "https://app.example"}),
			s.SignIn(io.Discard, lang, SignIn{Client: client, Again: true}),
			s.Password(io.Discard, lang, Password{}),
			s.Password(io.Discard, lang, Password{
				Client: client, Username: "sample", Expired: true, Later: true, AskOld: true, Problem: PasswordProblemPolicy,
				Detail: "sample", ChangeURL: "https://app.example",
			}),
			s.Consent(io.Discard, lang, Consent{Client: client, Person: "Sample", Scopes: scopes, New: scopes[:1], ReturnTo: "app.example", Withholdable: []string{"picture", "website"}, Withheld: []string{"website"}}),
			s.Consent(io.Discard, lang, Consent{Client: client, Person: "Sample", Scopes: scopes, UserCode: "SAMP-LECD"}),
			s.Device(io.Discard, lang, Device{}),
			s.Device(io.Discard, lang, Device{UserCode: "SAMP-LECD", Problem: DeviceProblemWrong}),
			s.DeviceDone(io.Discard, lang, DeviceDone{}),
			s.Leave(io.Discard, lang, Leave{}),
			s.Leave(io.Discard, lang, Leave{Client: client, Host: "app.example", Address: "https://app.example/login"}),
			s.SignOut(io.Discard, lang, SignOut{}),
			s.SignOut(io.Discard, lang, SignOut{Client: client, Person: "Sample", Cancel: "/"}),
			s.SignedOut(io.Discard, lang, SignedOut{}),
			s.SignedOut(io.Discard, lang, SignedOut{Client: client}),
			s.Error(io.Discard, lang, Error{}),
			s.Error(io.Discard, lang, Error{Client: client, Detail: "sample", RequestID: "sample"}),
		)
	}
	seen := map[string]bool{}
	problems = slices.DeleteFunc(problems, func(err error) bool {
		again := err == nil || seen[err.Error()]
		if err != nil {
			seen[err.Error()] = true
		}
		return again
	})
	return errors.Join(problems...)
}

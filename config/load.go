package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// maxFile bounds what is read of any file that the configuration names.
const maxFile = 1 << 20

// Load reads the configuration file and the environment (as os.Environ gives
// it), which goes before the file; path may be "" for the environment alone.
// Relative paths, those of the environment too, are relative to the file's
// folder. Every problem there is comes back at once, as Problems.
func Load(path string, env []string) (*Config, error) {
	var data []byte
	base := ""
	if path != "" {
		var err error
		if data, err = readRegular(path); err != nil {
			return nil, Problems{{File: path, Message: "the configuration can't be read: " + reason(err), Hint: "name it with --config, and make it readable for the server's account"}}
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("finding the folder of the configuration: %w", err)
		}
		base = filepath.Dir(absolute)
	}
	return load(path, base, data, env, time.Now())
}

// Default returns the configuration of which nothing was written, for programs
// that fill in the rest themselves. It would not pass the checks of Load.
func Default() *Config {
	l := &loader{found: map[string]found{}}
	c, err := l.settle()
	if err != nil { // a default that can't be read; a test reads them all
		return &Config{}
	}
	return c
}

// source is where a setting was written.
type source struct {
	file string // "environment" for a variable
	line int
	key  string // as it is called there
}

// found is a setting that was written somewhere.
type found struct {
	source
	value any
}

const environment = "environment"

// loader gathers settings and problems.
type loader struct {
	file     string
	base     string // of relative paths
	env      map[string]string
	found    map[string]found
	broken   map[string]bool // written, but not readable
	claims   map[string][]string
	scopes   map[string][]string // by group
	custom   map[string]CustomClaim
	members  []*member // the sections of directories
	inList   bool      // this loader is for one of them
	problems []Problem
	warnings []Problem
	// unreadable means that no setting of the file is known: what is missing then
	// proves nothing.
	unreadable bool
}

func load(path, base string, data []byte, env []string, now time.Time) (*Config, error) {
	l := &loader{file: path, base: base, env: variables(env), found: map[string]found{}, broken: map[string]bool{}}
	if path != "" {
		l.readFile(data)
	}
	l.readEnvironment()
	l.preferEnvironment()
	c, err := l.settle()
	if err == nil {
		err = l.settleSeveral(c)
	}
	if err != nil {
		return nil, err
	}
	if !l.unreadable {
		l.check(c, now)
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, Problems(l.problems)
	}
	c.Warnings = l.warnings
	return c, nil
}

// settle lays what was found over the defaults. viper does the laying; lists of
// keys go around it, since it would lower their names and split them at dots.
func (l *loader) settle() (*Config, error) {
	v := viper.New()
	for i := range settings {
		s := &settings[i]
		if s.kind == kindClaims || s.kind == kindScopes {
			continue
		}
		v.SetDefault(s.key, s.zero())
		if s.def != "" {
			value, err := s.read(s.defaults(), l.base)
			if err != nil {
				return nil, fmt.Errorf("the default of %s: %w", s.key, err)
			}
			v.SetDefault(s.key, value)
		}
		if f, written := l.found[s.key]; written {
			v.Set(s.key, f.value)
		}
	}
	c := &Config{File: l.file, Claims: l.claims, CustomClaims: l.custom, sources: map[string]source{}}
	if err := v.UnmarshalExact(c); err != nil {
		return nil, fmt.Errorf("settling the configuration: %w", err)
	}
	c.Registration.Scopes.Groups = l.scopes
	for key, f := range l.found {
		c.sources[key] = f.source
	}
	return c, nil
}

// defaults are the texts of what holds where nothing is written.
func (s *setting) defaults() texts {
	if s.kind == kindList {
		return strings.Split(s.def, ",")
	}
	return texts{s.def}
}

// zero is the value of a setting that is not there.
func (s *setting) zero() any {
	switch s.kind {
	case kindList, kindLines:
		return []string(nil)
	case kindNetworks:
		return nil
	case kindSecret:
		return Secret("")
	case kindFlag:
		return false
	}
	return ""
}

// Where returns the file and line that a setting was written in, for problems
// that others find: "environment" and 0 for a variable, "" and 0 for a default.
func (c *Config) Where(key string) (file string, line int) {
	for key != "" {
		if s, written := c.sources[key]; written {
			return s.file, s.line
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return c.File, 0
}

// problem notes what is wrong with a setting where it was written. A second
// complaint about one that could not be read only confuses.
func (l *loader) problem(key, message, hint string) {
	if l.broken[key] {
		return
	}
	p := Problem{File: l.file, Key: key, Message: message, Hint: hint}
	if f, written := l.found[key]; written {
		p.File, p.Line, p.Key = f.file, f.line, f.key
	}
	l.problems = append(l.problems, p)
}

func (l *loader) warn(key, message, hint string) {
	p := Problem{File: l.file, Key: key, Message: message, Hint: hint}
	if f, written := l.found[key]; written {
		p.File, p.Line, p.Key = f.file, f.line, f.key
	}
	l.warnings = append(l.warnings, p)
}

// take reads the texts of a setting and keeps its value, or says what is wrong.
func (l *loader) take(s *setting, t texts, at source) {
	value, err := s.read(t, l.base)
	if err != nil {
		p := Problem{File: at.file, Line: at.line, Key: at.key, Message: err.Error()}
		var f *fault
		if errors.As(err, &f) {
			p.Hint = f.hint
		}
		l.problems = append(l.problems, p)
		l.broken[s.key] = true
		return
	}
	delete(l.broken, s.key)
	l.found[s.key] = found{at, value}
}

// readRegular reads a plain file of bounded size: reading a pipe or a device
// might never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a plain file")
	}
	if info.Mode().Perm()&0o002 != 0 { // whoever can write it decides whom the server believes
		return nil, errors.New("everybody on this machine can change it; take that away with chmod o-w")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, errors.New("larger than 1 MiB")
	}
	return data, nil
}

// reason leaves the path out of an error that is told beside it.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

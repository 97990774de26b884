package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

// english is the language that every other falls back to.
const english = "en"

// fragment is a piece of a sentence: words, or what takes the place of a
// placeholder. The template "sentence" puts the latter into an element of its
// own, so that a right-to-left name doesn't turn the words around it.
type fragment struct {
	Text string
	Name bool
}

// sentence is what one key says, cut at its placeholders: Name marks those, and
// Text is then the placeholder's name.
type sentence []fragment

// words are the sentences of one language by key.
type words struct {
	lang string
	says map[string]sentence
}

// dir is the direction of the language: ltr or rtl.
func (w *words) dir() string { return w.says["dir"][0].Text }

// text returns the sentence with its placeholders filled in from pairs of name
// and value. A key that does not exist is an error: it is found when the set is
// loaded, not when somebody signs in.
func (w *words) text(key string, pairs []string) (string, error) {
	parts, err := w.parts(key, pairs)
	if err != nil {
		return "", err
	}
	if len(parts) == 1 {
		return parts[0].Text, nil
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String(), nil
}

// parts is text that keeps apart what the placeholders gave.
func (w *words) parts(key string, pairs []string) (sentence, error) {
	s, ok := w.says[key]
	if !ok {
		return nil, fmt.Errorf("no words for %q", key)
	}
	if !slices.ContainsFunc(s, func(f fragment) bool { return f.Name }) {
		return s, nil
	}
	filled := make(sentence, len(s))
	for i, f := range s {
		if f.Name {
			value, err := lookup(pairs, f.Text)
			if err != nil {
				return nil, fmt.Errorf("words %q: %w", key, err)
			}
			f.Text = value
		}
		filled[i] = f
	}
	return filled, nil
}

func lookup(pairs []string, name string) (string, error) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1], nil
		}
	}
	return "", fmt.Errorf("no value for {%s}", name)
}

// counted returns the key of the form for n things: key.one or key.other.
// French takes nought for one; languages with more forms than two make do.
func (w *words) counted(key string, n int) string {
	if n == 1 || n == 0 && w.lang == "fr" {
		return key + ".one"
	}
	return key + ".other"
}

// cut splits words at {placeholders}. Anything else in braces is text.
func cut(s string) sentence {
	var out sentence
	text := func(t string) {
		if t == "" {
			return
		}
		if n := len(out); n > 0 && !out[n-1].Name {
			out[n-1].Text += t
			return
		}
		out = append(out, fragment{Text: t})
	}
	for s != "" {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(s[open:], '}')
		if end < 0 {
			break
		}
		name := s[open+1 : open+end]
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			text(s[:open+1])
			s = s[open+1:]
			continue
		}
		text(s[:open])
		out = append(out, fragment{Text: name, Name: true})
		s = s[open+end+1:]
	}
	text(s)
	if len(out) == 0 {
		out = sentence{{}}
	}
	return out
}

func (s sentence) placeholders() []string {
	var names []string
	for _, f := range s {
		if f.Name {
			names = append(names, f.Text)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// customScope is the prefix of keys that an override may add: the words for
// scopes that an organisation made up.
const customScope = "scope."

// readWords lays the files words/*.json of fsys over have, sentence by
// sentence. Where known is given, keys and placeholders that it does not hold
// are refused, for they are misspelt. Names in errors begin with where.
func readWords(have map[string]*words, fsys fs.FS, where string, known map[string]sentence) error {
	files, err := fs.Glob(fsys, "words/*.json")
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	var problems []error
	for _, file := range files {
		shown := path.Join(where, file)
		lang := strings.TrimSuffix(path.Base(file), ".json")
		if tag, err := language.Parse(lang); err != nil || tag.String() != lang {
			problems = append(problems, fmt.Errorf("%s: file name is not a language tag such as nl or pt-BR", shown))
			continue
		}
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", shown, err))
			continue
		}
		if have[lang] == nil {
			have[lang] = &words{lang: lang, says: map[string]sentence{}}
		}
		problems = append(problems, have[lang].read(data, shown, known))
	}
	return errors.Join(problems...)
}

// read takes the sentences of one file in.
func (w *words) read(data []byte, shown string, known map[string]sentence) error {
	var table map[string]string
	if err := json.Unmarshal(data, &table); err != nil {
		return fmt.Errorf("%s:%d: %w", shown, lineOf(data, offsetOf(err)), err)
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(table)) {
		s := cut(table[key])
		if known != nil {
			if err := judge(key, s, known); err != nil {
				at := lineOf(data, int64(bytes.Index(data, []byte(strconv.Quote(key)))))
				problems = append(problems, fmt.Errorf("%s:%d: %w", shown, at, err))
				continue
			}
		}
		w.says[key] = s
	}
	return errors.Join(problems...)
}

// judge says what is wrong with one sentence of an override.
func judge(key string, s sentence, known map[string]sentence) error {
	base, ok := known[key]
	switch {
	case !ok && !strings.HasPrefix(key, customScope):
		return fmt.Errorf("no page uses the key %q", key)
	case key == "dir" && s[0].Text != "ltr" && s[0].Text != "rtl":
		return fmt.Errorf("key %q is ltr or rtl", key)
	}
	for _, name := range s.placeholders() {
		if !slices.Contains(base.placeholders(), name) {
			return fmt.Errorf("key %q has no placeholder {%s}", key, name)
		}
	}
	return nil
}

// complete gives every language what it lacks in English.
func complete(have map[string]*words) {
	for _, w := range have {
		for key, s := range have[english].says {
			if _, ok := w.says[key]; !ok {
				w.says[key] = s
			}
		}
	}
}

func offsetOf(err error) int64 {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &kind):
		return kind.Offset
	}
	return 0
}

func lineOf(data []byte, offset int64) int {
	offset = max(0, min(offset, int64(len(data))))
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}

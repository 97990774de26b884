package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"
)

//go:generate go test -run TestTheReferenceIsThatOfTheTable -update .

// Described is one setting as it stands.
type Described struct {
	Key    string
	Value  string // as it would be written; a secret as stars
	Source string // "default", "environment", or file and line
	Doc    string
	Reload string // what is read again without a restart
}

// Describe returns every setting with its value and where that comes from, in
// the order of the reference document.
func (c *Config) Describe() []Described {
	described := make([]Described, 0, len(settings))
	for _, s := range settings {
		d := Described{Key: s.key, Value: c.text(s.key), Source: "default", Doc: s.doc, Reload: s.reload}
		if at, written := c.sources[s.key]; written {
			d.Source = at.file
			if at.line > 0 {
				d.Source = fmt.Sprintf("%s:%d", at.file, at.line)
			}
		}
		described = append(described, d)
	}
	return described
}

// text writes a setting's value the way it is written in the file.
func (c *Config) text(key string) string {
	if key == "claims" {
		if len(c.CustomClaims) == 0 {
			return fmt.Sprint(c.Claims)
		}
		return fmt.Sprint(c.Claims, c.CustomClaims)
	}
	v := reflect.ValueOf(c).Elem()
	for name := range strings.SplitSeq(key, ".") {
		t := v.Type()
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("mapstructure") == name {
				v = v.Field(i)
				break
			}
		}
	}
	switch value := v.Interface().(type) {
	case time.Duration:
		return spell(value)
	case Secret:
		if value == "" {
			return ""
		}
		return value.String()
	case fmt.Stringer:
		return strings.ToLower(value.String())
	default:
		return fmt.Sprint(value)
	}
}

const referenceHead = `<!-- Generated from config by go generate. Do not edit. -->
# Configuration

One YAML file, which ` + "`--config`" + ` names. ` + "`gatehouse check`" + ` reads it and tells every problem at once, with the line and
what to do; the server doesn't start while there is one.

` + "```yaml" + `
%s` + "```" + `

- Unknown settings are errors. Anchors, aliases and tags of YAML are not supported.
- Relative paths are relative to the folder of the file.
- A list may be written as a single text. Durations are written 60s, 15m, 12h or 30d.
- Environment variables go before the file: ` + "`GATEHOUSE_`" + ` and the key in capitals with underscores, such as
  ` + "`GATEHOUSE_DIRECTORY_BASE_DN`" + `. Lists are separated by commas or blanks, lists of texts by semicolons. An empty variable
  counts as not set, an unknown one is an error. The file itself may be left out.
- Every secret can be in a file of its own: ` + "`…_file`" + `, or ` + "`GATEHOUSE_…_FILE`" + `. A file with a secret that others than its owner may
  read or write stops the start. Credentials of systemd (` + "`LoadCredential=`" + `) are taken as they are.
- A reload is what happens without a restart. Where it says so, a setting or the files behind it are read again; all else takes a restart, which
  finishes requests in flight and ends no session.

| setting | type | default | what it does | reload |
| --- | --- | --- | --- | --- |
`

// Reference returns the reference document of the configuration in Markdown.
// example is the text of the example file that it opens with.
func Reference(example string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, referenceHead, example)
	for _, s := range settings {
		def := s.defDoc
		switch {
		case s.def != "":
			def = "`" + s.def + "`"
		case s.required:
			def = "required"
		}
		doc := s.doc
		if len(s.values) > 0 {
			doc += " One of " + oneOf(s.values) + "."
		}
		switch s.kind {
		case kindDuration:
			doc += fmt.Sprintf(" %s to %s.", spell(time.Duration(s.least)), spell(time.Duration(s.most)))
		case kindNumber:
			doc += fmt.Sprintf(" %d to %d.", s.least, s.most)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.key, s.kind, def, strings.ReplaceAll(doc, "|", `\|`), s.reload)
	}
	return b.Bytes()
}

package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
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
	add := func(s setting, key, value string) {
		d := Described{Key: key, Value: value, Source: "default", Doc: s.doc, Reload: s.reload}
		if at, written := c.sources[key]; written {
			d.Source = at.file
			if at.line > 0 {
				d.Source = fmt.Sprintf("%s:%d", at.file, at.line)
			}
		}
		described = append(described, d)
	}
	for _, s := range settings {
		if len(c.Directories) == 0 || !strings.HasPrefix(s.key, "directory.") {
			add(s, s.key, c.text(s.key))
		}
	}
	for _, n := range c.Directories {
		under := "directories." + n.Name
		own := map[string]string{"name": n.Name, "subjects": "prefixed", "names": fmt.Sprint(n.Names), "cut_names": fmt.Sprint(n.CutNames)}
		if n.Plain {
			own["subjects"] = "plain"
		}
		for _, s := range memberSettings {
			name := strings.TrimPrefix(s.key, "directories.")
			add(s, under+"."+name, own[name])
		}
		alone := &Config{Directory: n.Directory}
		for _, s := range settings {
			if rest, ours := strings.CutPrefix(s.key, "directory"); ours && rest[0] == '.' {
				add(s, under+rest, alone.text(s.key))
			}
		}
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
	if key == "registration.scopes.groups" {
		return fmt.Sprint(c.Registration.Scopes.Groups)
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

const referenceSeveral = `
## Several directories

In the place of ` + "`directory`" + `, ` + "`directories`" + ` is a list of sections with the same settings and some of their own (` + "`gatehouse init URL --add NAME`" + ` makes it so):

` + "```yaml" + `
directories:
  - name: staff
    subjects: plain           # it was there first, as directory: its people keep their sub
    url: ldaps://ldap.example.org
    base_dn: dc=example,dc=org
  - name: students
    names: ["*@students.example.org"]
    cut_names: true
    url: ldaps://ldap.students.example.org
    base_dn: dc=students,dc=example,dc=edu
` + "```" + `

- A typed name belongs to the first directory, in the order of the file, that has it. A directory that can't be asked ends the
  search: sign-in says "please try again", for the name may be its own. Names with a form of their own (` + "`names`" + `) don't wait for others.
- A name that two entries of one directory have is refused, whatever the others hold.
- Ids are ` + "`NAME:`" + ` and the directory's own, so that nobody is taken for somebody of another directory; ` + "`sub`" + ` is made of them. When a second
  directory comes, give the first one ` + "`subjects: plain`" + `: all ` + "`sub`" + ` stay as they are. Without it everybody is a stranger to every application.
- A section that is taken out, or given another name, ends nobody's grants: its people can't be told from those of a directory that is away.
  End them with ` + "`gatehouse grant revoke`" + `.
- Scope maps name groups by DN, so two directories must not hold the same DNs: their group bases have to lie apart.
- The server is ready (` + "`/readyz`" + `) while one of them answers. ` + "`gatehouse check --live`" + ` asks all.
- Environment variables have the name in the middle: ` + "`GATEHOUSE_DIRECTORIES_STUDENTS_BIND_PASSWORD`" + `.

| setting | type | default | what it does | reload |
| --- | --- | --- | --- | --- |
`

// Reference returns the reference document of the configuration in Markdown.
// example is the text of the example file that it opens with.
func Reference(example string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, referenceHead, example)
	for _, s := range slices.Concat(settings, memberSettings) {
		if s.key == memberSettings[0].key {
			b.WriteString(referenceSeveral)
		}
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

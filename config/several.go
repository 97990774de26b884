package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// memberSettings are those that a section of directories has beside all of
// directory.*.
var memberSettings = []setting{
	{key: "directories.name", kind: kindText, required: true, reload: atStart, doc: "What the directory is called: lower-case letters, digits and hyphens. It is the first part of the id of everybody in it, and so of `sub`: choose it for good."},
	{key: "directories.subjects", kind: kindText, def: "prefixed", values: []string{"prefixed", "plain"}, reload: atStart, doc: "Whether ids begin with the name. `plain` is for one directory at most: the one that was there before there were several, so that its people keep the `sub` that applications know."},
	{key: "directories.names", kind: kindList, defDoc: "all", reload: atStart, doc: "Typed names that belong to this directory alone, by their form: `*@students.example.org`, `STUDENTS\\*`. Names that fit no form are looked for in the directories without this setting, or with `*` in it, in the order of the file."},
	{key: "directories.cut_names", kind: kindFlag, def: "false", reload: atStart, doc: "Whether only what stands for the `*` is looked for: `ada` of `ada@students.example.org`."},
}

// member is one section of directories, before it is judged.
type member struct {
	*loader // what it holds is at directory.*, and its own settings at directories.*
	label   string
	line    int
}

// several reads the list of directories. Each section is read as if it were the
// one directory of a configuration, so that all of its rules hold.
func (l *loader) several(n *yaml.Node, at source) {
	l.found[at.key] = found{source: at}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		l.problems = append(l.problems, Problem{File: at.file, Line: n.Line, Key: at.key, Message: "it is not a list of directories", Hint: `begin each with "- name: staff", and indent the rest of it by two blanks more`})
		return
	}
	for i, item := range n.Content {
		m := &member{
			loader: &loader{file: l.file, base: l.base, env: map[string]string{}, found: map[string]found{}, broken: map[string]bool{}, inList: true},
			label:  "directories[" + strconv.Itoa(i) + "]", line: item.Line,
		}
		if dir, ok := l.env["CREDENTIALS_DIRECTORY"]; ok {
			m.env["CREDENTIALS_DIRECTORY"] = dir
		}
		l.members = append(l.members, m)
		if item.Kind != yaml.MappingNode {
			m.problems = append(m.problems, Problem{File: l.file, Line: item.Line, Key: "directory", Message: "there are no settings in it", Hint: "write lines such as name: staff"})
			m.unreadable = true
			continue
		}
		m.mapping(item, "directory.")
		if name := m.own("name"); validName(name) {
			m.label = "directories." + name
		}
	}
	longest := slices.Clone(l.members) // first: STAFF_EU_URL is not EU_URL of staff
	slices.SortStableFunc(longest, func(a, b *member) int { return len(b.label) - len(a.label) })
	for _, m := range longest {
		m.takeVariables(l)
	}
}

// own returns a setting of the section itself, as text.
func (m *member) own(key string) string {
	text, _ := m.found["directories."+key].value.(string)
	return text
}

// validName mirrors what ids allow.
func validName(name string) bool {
	return name != "" && len(name) <= 32 && name[0] >= 'a' && name[0] <= 'z' && !strings.HasSuffix(name, "-") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// variablePrefix begins the names of the section's environment variables.
func (m *member) variablePrefix() string {
	return Variable(strings.ReplaceAll(m.label, "-", "_")) + "_"
}

// takeVariables takes the variables that are for this section out of those for the
// rest, and reads them as those of the one directory.
func (m *member) takeVariables(l *loader) {
	if !validName(m.own("name")) {
		return
	}
	for name, value := range l.env {
		if key, ours := strings.CutPrefix(name, m.variablePrefix()); ours {
			m.env[Variable("directory")+"_"+key] = value
			delete(l.env, name)
		}
	}
	m.readEnvironment()
	m.preferEnvironment()
}

// settleSeveral makes the sections of c, and judges them.
func (l *loader) settleSeveral(c *Config) error {
	for _, m := range l.members {
		settled, err := m.settle()
		if err != nil {
			return err
		}
		if !m.unreadable && !l.unreadable {
			m.checkMember(settled)
		}
		n := NamedDirectory{Name: m.own("name"), Plain: m.own("subjects") == "plain", Directory: settled.Directory}
		n.Names, _ = m.found["directories.names"].value.([]string)
		n.CutNames, _ = m.found["directories.cut_names"].value.(bool)
		c.Directories = append(c.Directories, n)
		for key, f := range m.found {
			c.sources[m.place(key)] = f.source
		}
		for _, p := range m.problems {
			l.problems = append(l.problems, m.placed(p))
		}
		for _, p := range m.warnings {
			l.warnings = append(l.warnings, m.placed(p))
		}
	}
	return nil
}

// place turns the key that a section read into the one that it was written under.
func (m *member) place(key string) string {
	for _, group := range []string{"directories", "directory"} {
		if rest, found := strings.CutPrefix(key, group); found && (rest == "" || rest[0] == '.') {
			return m.label + rest
		}
	}
	return key
}

// placed names in a problem the section, and not the one directory that it was
// read as.
func (m *member) placed(p Problem) Problem {
	p.Key = m.place(p.Key)
	for _, text := range []*string{&p.Key, &p.Message, &p.Hint} {
		*text = strings.ReplaceAll(*text, Variable("directory")+"_", m.variablePrefix())
	}
	for _, text := range []*string{&p.Message, &p.Hint} {
		*text = ofDirectory.ReplaceAllString(*text, m.label+".$1")
	}
	if p.Line == 0 && p.File == m.file {
		p.Line = m.line // what is missing is missing in this section
	}
	return p
}

var ofDirectory = regexp.MustCompile(`\bdirectory\.([a-z_]+)`)

func (m *member) checkMember(c *Config) {
	name := m.own("name")
	switch _, written := m.found["directories.name"]; {
	case !written && !m.broken["directories.name"]:
		m.problem("directories.name", "it is missing", "write one such as staff: it becomes a part of everybody's id")
	case written && !validName(name):
		m.problem("directories.name", fmt.Sprintf("%q is no name for a directory", clip(name)), "write one such as staff: lower-case letters, digits and hyphens, beginning with a letter")
	}
	names, _ := m.found["directories.names"].value.([]string)
	if _, written := m.found["directories.names"]; written && len(names) == 0 {
		m.problem("directories.names", "it is empty, so that no name belongs to the directory", "write forms such as *@students.example.org, or leave it out")
	}
	cut := 0
	for _, form := range names {
		if strings.Count(form, "*") != 1 || !strings.HasPrefix(form, "*") && !strings.HasSuffix(form, "*") {
			m.problem("directories.names", fmt.Sprintf("%q is no form of names", clip(form)), `write one * at the beginning or the end, as in *@students.example.org or STUDENTS\*`)
		}
		if form != "*" {
			cut++
		}
	}
	if on, _ := m.found["directories.cut_names"].value.(bool); on && cut == 0 && (len(names) > 0 || m.found["directories.names"].key == "") {
		m.problem("directories.cut_names", "there is nothing to cut: no form is given in names", "set names, or leave it out")
	}
	m.checkRequired("directory.")
	m.checkDirectory(c)
}

// checkSeveral looks at what concerns more than one section.
func (l *loader) checkSeveral() {
	if len(l.members) == 0 {
		return
	}
	for key := range l.found {
		if strings.HasPrefix(key, "directory.") {
			l.problem("directories", "there is a directory beside the list of directories", "make it one of the list, with subjects: plain so that its people stay who they are, and take directory out")
			break
		}
	}
	seen, plain := map[string]bool{}, ""
	for _, m := range l.members {
		name := m.own("name")
		if seen[name] && name != "" {
			l.problems = append(l.problems, Problem{File: l.file, Line: m.line, Key: m.place("directories.name"), Message: "two directories have this name", Hint: "give each a name of its own"})
		}
		seen[name] = true
		if m.own("subjects") != "plain" {
			continue
		}
		if plain != "" {
			l.problems = append(l.problems, Problem{File: l.file, Line: m.line, Key: m.place("directories.subjects"), Message: "directory " + plain + " has plain subjects already: people of two could share one", Hint: "leave it out for one of them"})
		}
		plain = name
	}
}

// NamedDirectory is one of several directories.
type NamedDirectory struct {
	Name     string
	Plain    bool // ids without the name
	Names    []string
	CutNames bool
	Directory
}

// memberSetting finds a setting of a section itself by its name.
func memberSetting(name string) *setting {
	i := slices.IndexFunc(memberSettings, func(s setting) bool { return s.key == "directories."+name })
	if i < 0 {
		return nil
	}
	return &memberSettings[i]
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gatehouse/config"
	"gatehouse/oidc"
)

// addDirectory adds one more directory to a configuration that is there.
func (e *environment) addDirectory(ctx context.Context, s *setup) error {
	if s.issuer != "" || s.force {
		return usage("--add leaves the rest of the configuration as it is", "leave --issuer and --force out")
	}
	if !memberName.MatchString(s.add) { // before files get it
		return usage(fmt.Sprintf("%q is no name for a directory", s.add), "write one such as students: lower-case letters, digits and hyphens, beginning with a letter")
	}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(fmt.Errorf("there is no configuration %s to add to", s.path), "leave --add out to write one, or name it with --config")
	} else if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	before, err := config.Load(s.path, nil)
	if err != nil {
		return converting(err)
	}
	if slices.ContainsFunc(before.Directories, func(n config.NamedDirectory) bool { return n.Name == s.add }) {
		return withHint(fmt.Errorf("directory %s is there already", s.add), "choose another name, or change its section by hand")
	}
	if err := s.explore(ctx, e, e.dialogue()); err != nil {
		return err
	}
	if err := s.writePassword(); err != nil {
		return err
	}
	first := "main"
	if s.add == first {
		first = "first"
	}
	whole, ok := withSection(string(text), s.section, first)
	if !ok {
		_, err := io.WriteString(e.stdout, s.section(2))
		return errors.Join(withHint(fmt.Errorf("%s is written in a way that this command can't extend", s.path),
			"make a list of its directory as docs/configuration.md shows under Several directories, and add the section above to it"), err)
	}
	if err := s.replace(e, before, whole); err != nil {
		return err
	}
	if err := e.tryDirectory(ctx, s); err != nil {
		return err
	}
	for _, f := range s.survey.Findings {
		e.complain("warning", f.Message, f.Hint)
	}
	_, err = io.WriteString(e.stdout, s.reportAdded(before, first))
	return err
}

var (
	memberName   = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)
	oneDirectory = regexp.MustCompile(`(?m)^directory:[ \t]*(#.*)?$`)
	listOfThem   = regexp.MustCompile(`(?m)^directories:[ \t]*(#.*)?$`)
	nextKey      = regexp.MustCompile(`(?m)^[^ \t\r\n#-]`)
	listItem     = regexp.MustCompile(`(?m)^( *)- `)
	firstSetting = regexp.MustCompile(`(?m)^( +)[^ \t\r\n#]`)
)

// withSection puts a section into the list of directories, and makes a list of the
// one directory that there is. Lines that it doesn't have to change stay as they
// are, comments and all. It knows the usual way to write YAML only; whoever calls it
// makes sure that the rest still means the same.
func withSection(text string, section func(indent int) string, first string) (string, bool) {
	list := true
	at := listOfThem.FindStringIndex(text)
	if at == nil {
		list, at = false, oneDirectory.FindStringIndex(text)
	}
	if at == nil {
		return "", false
	}
	head, rest := text[:at[1]], text[at[1]:]
	end := len(rest)
	if next := nextKey.FindStringIndex(rest); next != nil {
		end = next[0]
	}
	body, tail := rest[:end], rest[end:]
	// Blank lines and comments before the next key belong to that one.
	for {
		lines := strings.TrimSuffix(body, "\n")
		i := strings.LastIndexByte(lines, '\n') + 1
		if last := strings.TrimSpace(lines[i:]); i == 0 || tail == "" || last != "" && lines[i] != '#' {
			break
		}
		body, tail = body[:i], body[i:]+tail
	}
	if !strings.HasSuffix(body, "\n") {
		body += "\n"
	}
	if list {
		item := listItem.FindStringSubmatch(body)
		if item == nil {
			return "", false
		}
		return head + body + section(len(item[1])) + tail, true
	}
	setting := firstSetting.FindStringSubmatch(body)
	if setting == nil {
		return "", false
	}
	indent := setting[1]
	var b strings.Builder
	b.WriteString(head[:at[0]] + "directories:" + strings.TrimPrefix(head[at[0]:], "directory:") + "\n")
	b.WriteString(indent + "- name: " + first + "\n")
	b.WriteString(indent + "  # It was there first: its people keep the sub that applications know them by.\n")
	b.WriteString(indent + "  subjects: plain\n")
	for line := range strings.Lines(strings.TrimPrefix(body, "\n")) {
		if strings.TrimSpace(line) != "" {
			line = "  " + line
		}
		b.WriteString(line)
	}
	return b.String() + section(len(indent)) + tail, true
}

// section is the new directory as one of the list, with a reason for every line.
func (s *setup) section(indent int) string {
	var b strings.Builder
	blanks := strings.Repeat(" ", indent)
	line := func(format string, args ...any) { fmt.Fprintf(&b, blanks+format+"\n", args...) }
	line("- name: %s", scalar(s.add))
	line("  # The first part of everybody's id, and so of sub: never change it. If names of a form of their")
	line("  # own belong here alone, say so; they don't wait for the directories above, then:")
	line(`  # names: ["*@%s.example.org"]`, s.add)
	line("  # cut_names: true")
	line("  url: [%s]", scalar(s.url))
	s.writeTrust(line)
	s.writeAccount(line)
	s.writePlaces(line)
	return b.String()
}

// replace writes the configuration anew, if it still says the same of all that was
// there and the server would start with it.
func (s *setup) replace(e *environment, before *config.Config, text string) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	name, err := writeDraft(s.path, []byte(text))
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(name) }() // gone if all went well
	after, err := loadDraft(name)
	if err != nil {
		return err
	}
	known := sectionsOf(before)
	if n := len(after.Directories); n != len(known)+1 {
		return fmt.Errorf("there would be %d directories, not %d: add the section by hand", n, len(known)+1)
	}
	for i, was := range known {
		if is := after.Directories[i]; !reflect.DeepEqual(is.Directory, was.Directory) || is.Plain != was.Plain {
			return fmt.Errorf("directory %s would change by this: add the section by hand", is.Name)
		}
	}
	members, err := e.openMembers(after, nil)
	if err != nil {
		return withoutPlaces(problemsOf(err))
	}
	all, err := joinMembers(after, members)
	if err != nil {
		return withoutPlaces(problemsOf(err))
	}
	all.Close()
	if err := errors.Join(os.Chmod(name, info.Mode().Perm()), keepOwner(name, info)); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.Rename(name, s.path); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// tryDirectory makes sure that people can be looked up in the new directory, as the
// server will.
func (e *environment) tryDirectory(ctx context.Context, s *setup) error {
	cfg, err := config.Load(s.path, nil)
	if err != nil {
		return converting(err)
	}
	members, err := e.openMembers(cfg, nil)
	if err != nil {
		return err
	}
	for _, m := range members {
		defer m.Directory.Close()
	}
	return members[len(members)-1].Directory.Ping(ctx)
}

// reportAdded says what became of the configuration.
func (s *setup) reportAdded(before *config.Config, first string) string {
	var b strings.Builder
	b.WriteString(s.found())
	fmt.Fprintf(&b, "added to %s as directory %s\n", s.path, s.add)
	if len(before.Directories) == 0 {
		fmt.Fprintf(&b, "the directory that was there is called %s now, and its people keep their sub;\n", first)
		fmt.Fprintf(&b, "variables GATEHOUSE_DIRECTORY_… have to be called %s… now\n", config.Variable("directories."+first+"."))
	}
	flag := ""
	if s.path != configFiles()[0] {
		flag = " --config " + s.path
	}
	fmt.Fprintf(&b, "\nnext:\n  1. gatehouse doctor%s\n     looks closer: rights, indexes, certificates, clocks\n  2. start the server anew\n", flag)
	return b.String()
}

// converting is an error of the configuration as commands report it.
func converting(err error) error {
	var problems config.Problems
	if errors.As(err, &problems) {
		return oidc.Problems(converted(problems))
	}
	return err
}

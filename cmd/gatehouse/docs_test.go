package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/config"
	"gatehouse/oidc/clients"
)

// documents are all that operators read, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../../README.md", "../../CHANGELOG.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	return texts
}

// blocks are the code blocks of one language in a document.
func blocks(text, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^ *```"+language+"\n(.*?)^ *```").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

func TestDocumentsNameOnlyCommandsThatExist(t *testing.T) {
	t.Parallel()
	var commands int
	for file, text := range documents(t) {
		for _, block := range blocks(text, "sh") {
			block = strings.ReplaceAll(block, "\\\n", " ")
			for line := range strings.Lines(block) {
				line, _, _ = strings.Cut(line, " #")
				line, _, _ = strings.Cut(line, " < ") // what the shell takes for itself
				args, found := strings.CutPrefix(strings.TrimSpace(line), "gatehouse ")
				if !found {
					continue
				}
				commands++
				env := &environment{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
				cmd, rest, err := newRootCommand(env).Find(shellWords(args))
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil && cmd.HasSubCommands() {
					t.Errorf("%s: %q is no whole command", file, line)
				}
				if err == nil {
					err = cmd.ValidateArgs(cmd.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: %q: %v", file, line, err)
				}
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands found: the documents are not read as they are written", commands)
	}
}

// shellWords splits a line at blanks outside of double quotes.
func shellWords(line string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		words = append(words, m[1]+m[2])
	}
	return words
}

func TestExamplesInDocumentsAreValid(t *testing.T) {
	t.Parallel()
	var files int
	for file, text := range documents(t) {
		for _, block := range blocks(text, "yaml") {
			block = unindented(block)
			switch {
			case strings.HasPrefix(block, "client_id:"):
				files++
				block = regexp.MustCompile("sha256:[0-9a-f]*…").ReplaceAllString(block, "sha256:"+strings.Repeat("0a", 32))
				if _, problems := clients.Parse(file, []byte(block)); len(problems) > 0 {
					t.Errorf("%s: %v\n%s", file, problems, block)
				}
			case strings.HasPrefix(block, "issuer:"):
				files++
				dir := t.TempDir()
				for _, folder := range []string{"/etc/gatehouse", "/var/lib/gatehouse"} {
					block = strings.ReplaceAll(block, folder, dir)
				}
				for name, content := range map[string]string{"gatehouse.yaml": block, "bind.pw": "password\n"} {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Mkdir(filepath.Join(dir, "clients.d"), 0o700); err != nil {
					t.Fatal(err)
				}
				if _, err := config.Load(filepath.Join(dir, "gatehouse.yaml"), nil); err != nil {
					t.Errorf("%s: %v\n%s", file, err, block)
				}
			}
		}
	}
	if files < 4 {
		t.Errorf("only %d files found: the documents are not read as they are written", files)
	}
}

// unindented takes the first line's indentation from all lines.
func unindented(block string) string {
	indent := block[:len(block)-len(strings.TrimLeft(block, " "))]
	return strings.ReplaceAll(strings.TrimPrefix(block, indent), "\n"+indent, "\n")
}

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: a link to %s: %v", file, m[1], err)
			}
		}
	}
}

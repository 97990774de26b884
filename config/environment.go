package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const prefix = "GATEHOUSE_"

// Variable returns the name of a setting's environment variable.
func Variable(key string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// variables returns those that are meant for us. Empty ones count as not set:
// that is how tools for containers leave a variable out.
func variables(env []string) map[string]string {
	ours := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		if value != "" && (strings.HasPrefix(name, prefix) || name == "CREDENTIALS_DIRECTORY") {
			ours[name] = value
		}
	}
	return ours
}

// notSettings reports whether a variable with our prefix is none of ours:
// GATEHOUSE_CONFIG names the file, tests have some, and Kubernetes sets others in
// every pod beside a Service that is named gatehouse.
func notSettings(name string) bool {
	rest := strings.TrimPrefix(name, prefix)
	return rest == "CONFIG" || strings.HasPrefix(rest, "TEST_") || rest == "PORT" || strings.HasPrefix(rest, "PORT_") ||
		rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || strings.HasPrefix(rest, "SERVICE_PORT_")
}

// readEnvironment reads every variable that names a setting, and refuses those
// with our prefix that don't: they are typing errors.
func (l *loader) readEnvironment() {
	names := map[string]*setting{}
	for i := range settings {
		if settings[i].kind != kindClaims && settings[i].kind != kindScopes {
			names[Variable(settings[i].key)] = &settings[i]
		}
	}
	known := slices.Sorted(maps.Keys(names))
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if !strings.HasPrefix(name, prefix) || notSettings(name) {
			continue
		}
		s := names[name]
		if s == nil {
			hint := suggest(name, known)
			if name == Variable("claims") {
				hint = "set claims in the configuration file"
			}
			l.problems = append(l.problems, Problem{File: environment, Key: name, Message: "there is no such setting", Hint: hint})
			continue
		}
		t := texts{l.env[name]}
		switch s.kind {
		case kindList, kindNetworks:
			t = strings.FieldsFunc(l.env[name], func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
		case kindLines: // names of entries hold commas and blanks
			t = splitLines(l.env[name])
		}
		l.take(s, t, source{file: environment, key: name})
	}
}

// splitLines takes a text apart at its semicolons and line breaks.
func splitLines(text string) texts {
	t := texts{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		if part = strings.TrimSpace(part); part != "" {
			t = append(t, part)
		}
	}
	return t
}

// preferEnvironment settles the two ways of giving a secret: a variable of one
// way goes before the file's other way; both in one place are a mistake.
func (l *loader) preferEnvironment() {
	for _, s := range settings {
		if s.kind != kindSecret {
			continue
		}
		plain, both := l.found[s.key]
		inFile, also := l.found[s.key+"_file"]
		switch {
		case !both || !also:
		case plain.file == inFile.file:
			l.problem(s.key, fmt.Sprintf("both it and %s are set", inFile.key), "keep "+inFile.key)
		case plain.file == environment:
			delete(l.found, s.key+"_file")
		default:
			delete(l.found, s.key)
		}
	}
}

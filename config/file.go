package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readFile reads the YAML text of the configuration. It walks the tree of nodes,
// which knows lines and keys as they were written; viper knows neither.
func (l *loader) readFile(data []byte) {
	complain := func(line int, message, hint string) {
		l.unreadable = true
		l.problems = append(l.problems, Problem{File: l.file, Line: line, Message: message, Hint: hint})
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := decoder.Decode(&doc)
	if err == nil {
		if err = decoder.Decode(&more); err == nil {
			complain(more.Line, "there is a second document in the file", "write all settings into one")
			return
		}
	}
	if !errors.Is(err, io.EOF) {
		line, message := syntaxError(err)
		complain(line, "not YAML: "+message, "mind the indentation and the blank after each colon; put texts with : or # in quotes")
		return
	}
	if len(doc.Content) != 1 || doc.Content[0].Tag == "!!null" {
		return // nothing is written: what is missing is told as such
	}
	root := doc.Content[0]
	if n := alias(root); n != nil {
		complain(n.Line, "anchors and aliases (& and *) are not supported", "write the value out; put a text that starts with & or * in quotes")
		return
	}
	if root.Kind != yaml.MappingNode {
		complain(root.Line, "the file does not consist of settings", "write lines such as issuer: https://sso.example.org")
		return
	}
	l.mapping(root, "")
}

// syntaxError takes the line out of the text of an error of the YAML package,
// which has it nowhere else.
func syntaxError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, found := strings.CutPrefix(message, "line "); found {
		number, after, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			return n, after
		}
	}
	return 0, message
}

func alias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n
	}
	for _, c := range n.Content {
		if a := alias(c); a != nil {
			return a
		}
	}
	return nil
}

// mapping reads the settings under a prefix, which is "" or ends in a dot.
func (l *loader) mapping(n *yaml.Node, under string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := source{file: l.file, line: k.Line, key: under + k.Value}
		complain := func(message, hint string) {
			l.problems = append(l.problems, Problem{File: at.file, Line: at.line, Key: at.key, Message: message, Hint: hint})
		}
		if k.Kind != yaml.ScalarNode {
			complain("a key is not a text", "")
			continue
		}
		if first, found := seen[k.Value]; found {
			complain(fmt.Sprintf("it is here twice, first on line %d", first), "keep one of them")
			continue
		}
		seen[k.Value] = k.Line
		s := find(at.key)
		if own := memberSetting(k.Value); l.inList && own != nil && under == "directory." {
			s = own
		}
		switch {
		case at.key == "directories":
			l.several(v, at)
		case strings.Contains(k.Value, "."):
			hint := suggest(at.key, l.names())
			if s != nil {
				hint = "write it beneath " + k.Value[:strings.LastIndexByte(k.Value, '.')] + ":, without the dot"
			}
			complain("unknown setting", hint)
		case s == nil && !hasSettings(at.key):
			complain("unknown setting", suggest(at.key, l.names()))
		case s == nil && v.Kind != yaml.MappingNode:
			complain("there are no settings under it", "write them beneath it, each indented by two blanks")
		case s == nil:
			l.mapping(v, at.key+".")
		case s.kind == kindClaims:
			l.readClaims(v, at)
		case s.kind == kindScopes:
			l.readScopes(v, at)
		default:
			t, err := textsOf(v)
			if err != nil {
				complain(err.Error(), example(s))
				l.broken[s.key] = true
				continue
			}
			l.take(s, t, at)
		}
	}
}

// textsOf returns the texts of a node as they were written: 0123 and yes stay
// what they are, whatever YAML would make of them.
func textsOf(n *yaml.Node) (texts, error) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	t := texts{}
	for _, c := range nodes {
		switch {
		case c.Kind == yaml.MappingNode:
			return nil, errors.New("settings stand where a value is expected")
		case c.Kind != yaml.ScalarNode:
			return nil, errors.New("a list stands where one value is expected")
		}
		switch c.Tag {
		case "!!null":
			return nil, errors.New("there is no value")
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
			t = append(t, c.Value)
		default:
			return nil, errors.New("YAML tags are not supported")
		}
	}
	return t, nil
}

// readClaims reads the table of claims and attributes. Whether there is such a
// claim is known elsewhere.
func (l *loader) readClaims(n *yaml.Node, at source) {
	if n.Kind != yaml.MappingNode {
		l.problems = append(l.problems, Problem{File: at.file, Line: n.Line, Key: at.key, Message: "there are no claims under it", Hint: "write lines such as nickname: displayName"})
		return
	}
	l.claims = map[string][]string{}
	l.found[at.key] = found{source: at}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		place := source{file: at.file, line: k.Line, key: at.key + "." + k.Value}
		complain := func(message, hint string) {
			l.problems = append(l.problems, Problem{File: place.file, Line: place.line, Key: place.key, Message: message, Hint: hint})
		}
		if v.Kind == yaml.MappingNode && k.Kind == yaml.ScalarNode {
			l.readCustomClaim(k.Value, v, place)
			continue
		}
		t, err := textsOf(v)
		_, twice := l.claims[k.Value]
		_, custom := l.custom[k.Value]
		switch {
		case k.Kind != yaml.ScalarNode:
			complain("a claim's name is not a text", "")
		case twice || custom:
			complain("it is here twice", "join the two lists of attributes")
		case err != nil:
			complain(err.Error(), "write attributes such as [displayName, cn]")
		default:
			l.claims[k.Value] = t
			l.found[place.key] = found{source: place}
		}
	}
}

// readScopes reads groups and the scopes of their members. Whether they are well-formed
// is known elsewhere.
func (l *loader) readScopes(n *yaml.Node, at source) {
	complain := func(line int, key, message string) {
		l.problems = append(l.problems, Problem{File: at.file, Line: line, Key: key, Message: message, Hint: "write lines such as cn=staff,ou=groups,dc=example,dc=org: [profile, email]"})
	}
	if n.Kind != yaml.MappingNode {
		complain(n.Line, at.key, "there are no groups under it")
		return
	}
	l.scopes = map[string][]string{}
	l.found[at.key] = found{source: at}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		place := source{file: at.file, line: k.Line, key: at.key + "." + k.Value}
		scopes, err := textsOf(v)
		_, twice := l.scopes[k.Value]
		switch {
		case k.Kind != yaml.ScalarNode:
			complain(k.Line, at.key, "a group's name is not a text")
		case twice:
			complain(k.Line, place.key, "it is here twice")
		case err != nil:
			complain(k.Line, place.key, err.Error())
		default:
			l.scopes[k.Value] = scopes
			l.found[place.key] = found{source: place}
		}
	}
}

// readCustomClaim reads a claim that the operator adds. Which types there are is
// known elsewhere.
func (l *loader) readCustomClaim(name string, n *yaml.Node, place source) {
	const hint = "write it like {attributes: [quotaBytes], type: number, scope: quota}"
	complain := func(line int, key, message string) {
		l.problems = append(l.problems, Problem{File: place.file, Line: line, Key: key, Message: message, Hint: hint})
	}
	_, standard := l.claims[name]
	if _, twice := l.custom[name]; twice || standard {
		complain(place.line, place.key, "it is here twice")
		return
	}
	before, claim := len(l.problems), CustomClaim{Type: "string"}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := place.key + "." + k.Value
		t, err := textsOf(v)
		switch {
		case err != nil:
			complain(k.Line, key, err.Error())
		case k.Value == "attributes":
			claim.Attributes = t
		case len(t) != 1:
			complain(k.Line, key, "one value is expected")
		case k.Value == "type":
			claim.Type = t[0]
		case k.Value == "scope":
			claim.Scope = t[0]
		default:
			complain(k.Line, key, "unknown setting")
		}
		l.found[key] = found{source: source{file: place.file, line: k.Line, key: key}}
	}
	if len(l.problems) == before && (len(claim.Attributes) == 0 || claim.Scope == "") {
		complain(place.line, place.key, "a claim of one's own needs attributes and a scope")
	}
	if l.custom == nil {
		l.custom = map[string]CustomClaim{}
	}
	l.custom[name] = claim
	l.found[place.key] = found{source: place}
}

func example(s *setting) string {
	switch {
	case len(s.values) > 0:
		return "write " + oneOf(s.values)
	case s.def != "":
		return "write one such as " + s.def
	}
	return "write a " + string(s.kind)
}

// names lists what may be written, as it is written where this loader reads.
func (l *loader) names() []string {
	all := []string{"tls", "log", "lifespans", "session", "throttle", "registration", "directory", "directories"}
	if l.inList {
		all = nil
		for _, s := range memberSettings {
			all = append(all, strings.Replace(s.key, "directories.", "directory.", 1))
		}
	}
	for _, s := range settings {
		if !l.inList || strings.HasPrefix(s.key, "directory.") {
			all = append(all, s.key)
		}
	}
	return all
}

func hasSettings(group string) bool {
	for _, s := range settings {
		if strings.HasPrefix(s.key, group+".") {
			return true
		}
	}
	return false
}

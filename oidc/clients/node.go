package clients

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// errLayout means that a file is valid, but not laid out line by line, so that
// one key of it can't be changed without touching the rest.
var errLayout = errors.New("the keys don't stand on lines of their own")

// splice changes one top-level key of a file and leaves every byte of the others,
// their comments and blank lines, as it was. change gets a mapping that holds
// that key alone, or nothing if it isn't there.
//
// Encoding the whole tree instead would keep comments and order, too, but lose
// blank lines and people's way of indenting.
func splice(data []byte, top string, change func(root *yaml.Node) error) ([]byte, error) {
	start, end, err := entryLines(data, top)
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(data), "\n")
	old := strings.Join(lines[start:end], "")
	doc := &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	if old != "" {
		if err := yaml.Unmarshal([]byte(old), doc); err != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
			return nil, errLayout
		}
	}
	if err := change(doc.Content[0]); err != nil {
		return nil, err
	}
	entry, err := encode(doc)
	if err != nil {
		return nil, err
	}
	if strings.Contains(old, "\r\n") {
		entry = bytes.ReplaceAll(entry, []byte("\n"), []byte("\r\n"))
	}
	before := strings.Join(lines[:start], "")
	if before != "" && !strings.HasSuffix(before, "\n") && len(entry) > 0 {
		before += "\n"
	}
	return slices.Concat([]byte(before), entry, []byte(strings.Join(lines[end:], ""))), nil
}

// entryLines finds the lines of a top-level key, from 0; if it isn't there, both
// are the end of the file. Comments and blank lines behind an entry belong to
// the next one.
func entryLines(data []byte, top string) (start, end int, err error) {
	root, err := decode(data)
	if err != nil {
		return 0, 0, err
	}
	s := string(data)
	// YAML knows more ways to end a line than the splitting here.
	odd := strings.ContainsAny(s, "\u0085\u2028\u2029\ufeff") || strings.Count(s, "\r") != strings.Count(s, "\r\n")
	if !utf8.Valid(data) || odd || root.Style&yaml.FlowStyle != 0 || root.Column != 1 {
		return 0, 0, errLayout
	}
	lines := strings.SplitAfter(s, "\n")
	between := func(line string) bool {
		return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#")
	}
	start, end = len(lines), len(lines)
	if last := strings.TrimSpace(lines[len(lines)-1]); last == "" && len(lines) > 1 {
		start, end = start-1, end-1
	}
	if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "...") }) {
		return 0, 0, errLayout // nothing may be added behind the end of the document
	}
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value != top {
			continue
		}
		start = root.Content[i].Line - 1
		if i+2 < len(root.Content) {
			end = root.Content[i+2].Line - 1
		}
		for end > start+1 && between(lines[end-1]) {
			end--
		}
		if start >= end || root.Content[i].Column != 1 || strings.HasPrefix(lines[start], "---") {
			return 0, 0, errLayout
		}
		break
	}
	return start, end, nil
}

// encode writes a node as people do, with two blanks to indent; an empty mapping
// is nothing.
func encode(n *yaml.Node) ([]byte, error) {
	root := n
	if n.Kind == yaml.DocumentNode {
		root = n.Content[0]
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return b.Bytes(), nil
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// list makes a list, on one line if that stays short and needs no quotes.
func list(values []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	width := 0
	for _, v := range values {
		n.Content = append(n.Content, text(v))
		width += len(v) + 2
	}
	if width <= 80 && !strings.ContainsAny(strings.Join(values, ""), ":, ") {
		n.Style = yaml.FlowStyle
	}
	return n
}

// entries returns the texts of a list, or of the single text that stands for one.
func entries(n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var values []string
	for _, c := range n.Content {
		values = append(values, c.Value)
	}
	return values
}

func find(m *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i+1]
		}
	}
	return nil
}

// put sets a key of a mapping, in its place or at the end.
func put(m *yaml.Node, name string, n *yaml.Node) {
	if old := find(m, name); old != nil {
		replace(old, n)
		return
	}
	m.Content = append(m.Content, text(name), n)
}

// replace gives a node a new value and keeps its comments, and those of entries
// of a list that stay.
func replace(old, n *yaml.Node) {
	if old.Kind == yaml.SequenceNode && n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			if at := slices.IndexFunc(old.Content, func(o *yaml.Node) bool { return o.Value == c.Value }); at >= 0 {
				n.Content[i] = old.Content[at]
			}
		}
		if len(old.Content) > 0 {
			n.Style = old.Style
		}
	}
	old.Kind, old.Tag, old.Value, old.Content, old.Style = n.Kind, n.Tag, n.Value, n.Content, n.Style
}

func remove(m *yaml.Node, name string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			m.Content = slices.Delete(m.Content, i, i+2)
			return
		}
	}
}

// under returns the mapping below a key, made if it isn't there.
func under(m *yaml.Node, name string) *yaml.Node {
	if n := find(m, name); n != nil {
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	m.Content = append(m.Content, text(name), n)
	return n
}

// prune takes out a key that has nothing beneath it any more.
func prune(m *yaml.Node, name string) {
	if n := find(m, name); n != nil && n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		remove(m, name)
	}
}

package clients

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// kind is the type of a key's value.
type kind string

const (
	kindText     kind = "text"
	kindList     kind = "list"
	kindFlag     kind = "true or false"
	kindNumber   kind = "number"
	kindDuration kind = "duration"
	kindMaps     kind = "group: list of scopes"
	kindObject   kind = "object"
)

// item is one text and where it stands.
type item struct {
	text string
	line int
}

// value is what was read for one key; which part is set follows from the kind.
type value struct {
	item
	items  []item
	flag   bool
	number int
	span   time.Duration
	maps   []scopeMap
	json   []byte
}

type scopeMap struct {
	group  item
	scopes []item
}

// fault is a problem at a line that doesn't know its file and key yet.
type fault struct {
	line          int
	message, hint string
}

// readValue reads a node as a field's kind. Faults come back beside whatever
// could be read, so that one run tells all.
func readValue(n *yaml.Node, f *field) (v value, faults []fault) {
	v.line = n.Line
	bad := func(message, hint string) (value, []fault) {
		return v, append(faults, fault{n.Line, message, hint})
	}
	switch f.kind {
	case kindList:
		v.items, faults = readItems(n)
		return v, faults
	case kindMaps:
		v.maps, faults = readMaps(n)
		return v, faults
	case kindObject:
		v.json, faults = readObject(n, f)
		return v, faults
	}
	text, message := scalar(n)
	if message != "" {
		return bad(message, "write "+f.example())
	}
	v.text = text
	switch f.kind {
	case kindFlag:
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			v.flag = true
		case "false", "no", "off":
		default:
			return bad(fmt.Sprintf("%q is neither true nor false", clip(text)), "write true or false")
		}
	case kindNumber:
		number, err := strconv.Atoi(text)
		if err != nil {
			return bad(fmt.Sprintf("%q is not a whole number", clip(text)), "write "+f.example())
		}
		v.number = number
	case kindDuration:
		span, err := parseDuration(text)
		if err != nil {
			return bad(fmt.Sprintf("%q %v", clip(text), err), "write a duration such as 60s, 15m, 12h or 30d")
		}
		v.span = span
	}
	return v, faults
}

// readItems reads a list; a single text stands for a list of one.
func readItems(n *yaml.Node) (items []item, faults []fault) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	seen := map[string]bool{}
	for _, c := range nodes {
		text, message := scalar(c)
		switch {
		case message != "":
			faults = append(faults, fault{c.Line, message, "write a list such as [one, two]"})
		case text == "":
			faults = append(faults, fault{c.Line, "an entry is empty", "fill it in or leave it out"})
		case seen[text]:
			faults = append(faults, fault{c.Line, fmt.Sprintf("%q is listed twice", clip(text)), "leave one out"})
		default:
			items = append(items, item{text, c.Line})
		}
		seen[text] = true
	}
	return items, faults
}

func readMaps(n *yaml.Node) (maps []scopeMap, faults []fault) {
	if n.Kind != yaml.MappingNode {
		return nil, []fault{{n.Line, "this is not a list of groups with their scopes", "write lines such as cn=staff,ou=groups,dc=example,dc=org: [profile, email]"}}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		group, message := scalar(k)
		if message != "" {
			faults = append(faults, fault{k.Line, message, "write the group's distinguished name"})
			continue
		}
		scopes, more := readItems(v)
		faults = append(faults, more...)
		if len(scopes) == 0 && len(more) == 0 {
			faults = append(faults, fault{k.Line, "this group gets no scopes", "list the scopes, or leave the group out"})
		}
		maps = append(maps, scopeMap{item{group, k.Line}, scopes})
	}
	return maps, faults
}

// scalar returns the text of a node as it was written: 0123 and yes stay what
// they are, whatever YAML would make of them.
func scalar(n *yaml.Node) (text, message string) {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "", "a list stands where one value is expected"
	case n.Kind == yaml.MappingNode:
		return "", "a group of keys stands where one value is expected"
	case n.Kind != yaml.ScalarNode:
		return "", "there is no value"
	}
	switch n.Tag {
	case "!!null":
		return "", "there is no value"
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
		return n.Value, ""
	}
	return "", "YAML tags are not supported"
}

// parseDuration reads Go's durations and whole days, "30d".
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); err != nil && found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errors.New("is not a duration")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	if err != nil {
		return 0, errors.New("is not a duration")
	}
	if d < 0 {
		return 0, errors.New("is negative")
	}
	return d, nil
}

// clip keeps what is echoed in a message short.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}

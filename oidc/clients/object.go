package clients

import (
	"encoding/json"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxNesting is how deep an object of a client file may be nested: a JWK Set has
// three levels.
const maxNesting = 8

// readObject turns a mapping, or a text that holds one in YAML or JSON, into JSON.
func readObject(n *yaml.Node, f *field) ([]byte, []fault) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		inner, err := decode([]byte(n.Value))
		if err != nil {
			return nil, []fault{{n.Line, "this is not an object", "write " + f.example()}}
		}
		n = &yaml.Node{Kind: inner.Kind, Tag: inner.Tag, Content: inner.Content, Line: n.Line}
	}
	if n.Kind != yaml.MappingNode {
		return nil, []fault{{n.Line, "this is not an object", "write " + f.example()}}
	}
	value, problem := plainValue(n, 0)
	if problem != nil {
		return nil, []fault{*problem}
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, []fault{{n.Line, "this can't be put into JSON", ""}}
	}
	return data, nil
}

// plainValue is a node as JSON has it. Numbers stay texts as they were written: an
// id of 0123 is no number, and no member of a JWK is one.
func plainValue(n *yaml.Node, depth int) (any, *fault) {
	if depth > maxNesting {
		return nil, &fault{n.Line, "this is nested too deeply", ""}
	}
	switch n.Kind {
	case yaml.MappingNode:
		object := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, message := scalar(n.Content[i])
			if _, double := object[name]; double {
				message = name + " is here twice"
			}
			if message != "" {
				return nil, &fault{n.Content[i].Line, message, ""}
			}
			value, problem := plainValue(n.Content[i+1], depth+1)
			if problem != nil {
				return nil, problem
			}
			object[name] = value
		}
		return object, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			value, problem := plainValue(c, depth+1)
			if problem != nil {
				return nil, problem
			}
			list[i] = value
		}
		return list, nil
	}
	text, message := scalar(n)
	if message != "" {
		return nil, &fault{n.Line, message, ""}
	}
	if n.Tag == "!!bool" {
		return text == "true", nil
	}
	return text, nil
}

// objectNode makes the value of an object's field from a text on a command line.
func objectNode(f *field, text string) (*yaml.Node, error) {
	n, err := decode([]byte(text))
	var broken *brokenError
	switch {
	case errors.As(err, &broken):
		return nil, problemsOf(f, broken.message, "write "+f.example())
	case errors.Is(err, io.EOF):
		return nil, problemsOf(f, "it is empty", "write "+f.example())
	case err != nil:
		return nil, err
	}
	if _, faults := readObject(n, f); len(faults) > 0 {
		return nil, problemsOf(f, faults[0].message, faults[0].hint)
	}
	return n, nil
}

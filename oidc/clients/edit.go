package clients

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"gatehouse/oidc"
)

// Setting is a key of a client file and the texts to set it to: one for a text,
// a number, a duration, true or false; any number for a list. A key
// scopes.groups.DN takes the scopes of one group.
type Setting struct {
	Key    string
	Values []string
}

const groupsKey = "scopes.groups"

// Create writes the file of a new client with what is given, in the order of the
// reference document. It never writes over a file that is there; the error then
// wraps ErrExists.
func Create(dir, id string, settings ...Setting) (*oidc.Client, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	put(root, "client_id", text(id))
	for _, s := range inOrder(settings) {
		group, isMap := strings.CutPrefix(s.Key, groupsKey+".")
		if isMap {
			put(under(under(root, "scopes"), "groups"), group, list(s.Values))
			continue
		}
		if err := assign(root, s.Key, s.Values); err != nil {
			return nil, err
		}
	}
	data, err := encode(root)
	if err != nil {
		return nil, err
	}
	return create(dir, id, data)
}

// SetField sets one key of a client to the values given, or takes it out where
// none is given.
func SetField(dir, id, key string, values ...string) (*oidc.Client, error) {
	if key == "client_id" {
		return nil, oidc.Problems{{Key: key, Message: "a client's id can't be changed", Hint: "create a new client and remove this one"}}
	}
	top, _, _ := strings.Cut(key, ".")
	return edit(dir, id, top, func(root *yaml.Node) error { return assign(root, key, values) })
}

// SetSecret puts the hash of a new secret in the place of the old one, and the
// sealed secret, "" for none: the old one must not live on in either form.
func SetSecret(dir, id, hash, sealed string) (*oidc.Client, error) {
	var seal []string
	if sealed != "" {
		seal = []string{sealed}
	}
	return editAll(dir, id, []topEdit{
		{"client_secret_hash", func(root *yaml.Node) error { return assign(root, "client_secret_hash", []string{hash}) }},
		{"client_secret_sealed", func(root *yaml.Node) error { return assign(root, "client_secret_sealed", seal) }},
	})
}

// SetImplicitScopes sets the scopes for whoever can sign in; without any, it
// takes them away.
func SetImplicitScopes(dir, id string, scopes ...string) (*oidc.Client, error) {
	return SetField(dir, id, "scopes.everyone", scopes...)
}

// AddScopeMap gives the members of a group scopes beside those that they have.
func AddScopeMap(dir, id, group string, scopes ...string) (*oidc.Client, error) {
	if len(scopes) == 0 {
		return nil, oidc.Problems{{Key: groupsKey, Message: "no scope was named", Hint: "name the scopes that members of the group get"}}
	}
	return editGroup(dir, id, group, func(groups *yaml.Node, at int) error {
		if at < 0 {
			put(groups, group, list(scopes))
			return nil
		}
		have := entries(groups.Content[at+1])
		for _, s := range scopes {
			if !slices.Contains(have, s) {
				have = append(have, s)
			}
		}
		replace(groups.Content[at+1], list(have))
		return nil
	})
}

// DeleteScopeMap takes scopes from the members of a group, or all of them where
// none is named. What another group or everyone gives them, they keep. The error
// wraps oidc.ErrNotFound where the group has no map.
func DeleteScopeMap(dir, id, group string, scopes ...string) (*oidc.Client, error) {
	return editGroup(dir, id, group, func(groups *yaml.Node, at int) error {
		if at < 0 {
			return fmt.Errorf("scope map of %s: %w", group, oidc.ErrNotFound)
		}
		left := slices.DeleteFunc(entries(groups.Content[at+1]), func(s string) bool { return slices.Contains(scopes, s) })
		if len(scopes) == 0 || len(left) == 0 {
			groups.Content = slices.Delete(groups.Content, at, at+2)
			return nil
		}
		replace(groups.Content[at+1], list(left))
		return nil
	})
}

// editGroup hands change the groups of the scope maps, and where among them a
// group is, however it is spelt there; -1 if it isn't.
func editGroup(dir, id, group string, change func(groups *yaml.Node, at int) error) (*oidc.Client, error) {
	dn, err := oidc.ParseDN(group)
	if err != nil {
		return nil, oidc.Problems{{Key: groupsKey, Message: fmt.Sprintf("%q is %v", clip(group), err), Hint: "write the group's distinguished name, such as cn=staff,ou=groups,dc=example,dc=org"}}
	}
	return edit(dir, id, "scopes", func(root *yaml.Node) error {
		scopes := under(root, "scopes")
		groups := under(scopes, "groups")
		at := -1
		for i := 0; i+1 < len(groups.Content); i += 2 {
			if other, err := oidc.ParseDN(groups.Content[i].Value); err == nil && other.Key() == dn.Key() {
				at = i
			}
		}
		if err := change(groups, at); err != nil {
			return err
		}
		prune(scopes, "groups")
		prune(root, "scopes")
		return nil
	})
}

// edit changes one top-level key of a client's file.
func edit(dir, id, top string, change func(root *yaml.Node) error) (*oidc.Client, error) {
	return editAll(dir, id, []topEdit{{top, change}})
}

// topEdit is a change of one top-level key.
type topEdit struct {
	top    string
	change func(root *yaml.Node) error
}

// editAll makes several changes of a client's file in one step.
func editAll(dir, id string, edits []topEdit) (*oidc.Client, error) {
	return update(dir, id, func(path string, data []byte) (after []byte, err error) {
		top := ""
		after = data
		for _, e := range edits {
			top = e.top
			if after, err = splice(after, e.top, e.change); err != nil {
				break
			}
		}
		var broken *brokenError
		switch {
		case errors.As(err, &broken), errors.Is(err, io.EOF): // there is no YAML to edit
			_, problems := Parse(path, data)
			return nil, oidc.Problems(problems)
		case errors.Is(err, errLayout):
			return nil, oidc.Problems{{File: path, Key: top, Message: "the layout of this file is beyond this command", Hint: "edit the file by hand, or write it with one key a line, each at the start of its line"}}
		}
		return after, err
	})
}

// assign sets or removes a key by the table.
func assign(root *yaml.Node, key string, values []string) error {
	f := findField(key)
	switch {
	case f == nil:
		return oidc.Problems{{Key: key, Message: "unknown key", Hint: unknownHint(key)}}
	case f.kind == kindMaps:
		return oidc.Problems{{Key: key, Message: "it can't be set as a whole", Hint: "add and delete one scope map at a time"}}
	}
	group, name, nested := strings.Cut(key, ".")
	if len(values) == 0 {
		if nested {
			if m := find(root, group); m != nil {
				remove(m, name)
			}
			prune(root, group)
			return nil
		}
		remove(root, key)
		return nil
	}
	n, err := f.node(values)
	if err != nil {
		return err
	}
	if nested {
		put(under(root, group), name, n)
		return nil
	}
	put(root, key, n)
	return nil
}

// node makes the value of a field, of the right type or not at all.
func (f *field) node(values []string) (*yaml.Node, error) {
	n := list(values)
	if f.kind == kindObject && len(values) == 1 {
		return objectNode(f, values[0])
	}
	if f.kind != kindList {
		if len(values) != 1 {
			return nil, oidc.Problems{{Key: f.key, Message: fmt.Sprintf("it takes one value, not %d", len(values)), Hint: "write " + f.example()}}
		}
		n = text(values[0])
	}
	v, faults := readValue(n, f)
	if len(faults) > 0 {
		return nil, problemsOf(f, faults[0].message, faults[0].hint)
	}
	switch f.kind {
	case kindFlag:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v.flag)}, nil
	case kindNumber:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(v.number)}, nil
	}
	return n, nil
}

func problemsOf(f *field, message, hint string) error {
	return oidc.Problems{{Key: f.key, Message: message, Hint: hint}}
}

// inOrder sorts settings as the reference document has them.
func inOrder(settings []Setting) []Setting {
	place := func(s Setting) int {
		return slices.IndexFunc(fields, func(f field) bool { return s.Key == f.key || strings.HasPrefix(s.Key, f.key+".") })
	}
	sorted := slices.Clone(settings)
	slices.SortStableFunc(sorted, func(a, b Setting) int { return place(a) - place(b) })
	return sorted
}

package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// MaxFile is the largest client file, in bytes.
const MaxFile = 256 << 10

// Parse reads one client file. file is what problems are reported under. All
// problems come back at once; the client is nil if there are any.
func Parse(file string, data []byte) (*oidc.Client, []oidc.Problem) {
	d := parse(file, data)
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return &d.client, nil
}

func parse(file string, data []byte) *draft {
	d := &draft{file: file, lines: map[string]int{}}
	root := d.document(data)
	if root != nil {
		d.mapping(root, "")
		d.finish()
	}
	slices.SortStableFunc(d.problems, func(a, b oidc.Problem) int { return a.Line - b.Line })
	return d
}

// Warnings tells what a valid client had better not be, without file and line.
func Warnings(c *oidc.Client) []oidc.Problem {
	var warnings []oidc.Problem
	warn := func(key, message, hint string) {
		warnings = append(warnings, oidc.Problem{Key: key, Message: message, Hint: hint})
	}
	gives := func(scope string) bool {
		return slices.Contains(c.Scopes.Everyone, scope) ||
			slices.ContainsFunc(c.Scopes.Groups, func(m oidc.ScopeMap) bool { return slices.Contains(m.Scopes, scope) })
	}
	if slices.ContainsFunc(personGrants, c.HasGrantType) && !gives("openid") {
		warn("scopes", "no map of "+c.ID+" gives the scope openid: nobody can sign in to it", "add openid to scopes.everyone, or to a group under scopes.groups")
	}
	if c.HasGrantType(grantPassword) {
		warn("grant_types", c.ID+" takes people's passwords itself: whoever breaks into it has them all", "leave password out as soon as the application can send people here to sign in")
	}
	if gives("offline_access") {
		warn("scopes", "offline_access in a map of "+c.ID+" does nothing: it is given to clients with the grant type refresh_token", "leave it out of the maps")
	}
	if NeedsSealedSecret(c) && c.SecretSealed == "" {
		warn("client_secret_sealed", c.ID+" signs with its secret, which this server does not know", "give it a new one with gatehouse client reset-secret")
	}
	if c.IDTokenSignedResponseAlg == keys.None {
		warn("id_token_signed_response_alg", "ID tokens of "+c.ID+" are not signed: nobody who is shown one can tell who made it", "choose an algorithm as soon as the application knows one")
	}
	for _, r := range c.ResponseAlgs() {
		if keys.Uncommon(r.Alg) && !c.OwnIssuer {
			warn(r.Key, "because of "+c.ID+" every application finds a "+r.Alg+" key in the key set, and some give up on a set with one", "own_issuer: true keeps it to this application, which then has to be set up anew")
		}
	}
	if !c.RequirePKCE && c.HasGrantType(grantCode) {
		warn("require_pkce", c.ID+" goes without PKCE: a code that leaks can be used by whoever finds it", "leave require_pkce out as soon as the application can do PKCE")
	}
	return warnings
}

// draft is a client being read.
type draft struct {
	file     string
	client   oidc.Client
	problems []oidc.Problem
	lines    map[string]int // where each key that is there stands
	// redirects and logouts are judged when it is known whether the client is public.
	redirects, logouts []item
	registered         bool // a client that describes itself, which has no file
}

func (d *draft) problem(line int, key, message, hint string) {
	d.problems = append(d.problems, oidc.Problem{File: d.file, Line: line, Key: key, Message: message, Hint: hint})
}

// clean reports whether nothing was said about a key yet. Follow-up complaints
// about a value that could not be read only confuse.
func (d *draft) clean(key string) bool {
	return !slices.ContainsFunc(d.problems, func(p oidc.Problem) bool { return p.Key == key })
}

// document returns the mapping that a file consists of.
func (d *draft) document(data []byte) *yaml.Node {
	if len(data) > MaxFile {
		d.problem(0, "", fmt.Sprintf("the file is larger than %d KiB", MaxFile>>10), "a client file takes a few lines")
		return nil
	}
	n, err := decode(data)
	var broken *brokenError
	switch {
	case errors.Is(err, io.EOF):
		d.problem(0, "", "the file is empty", "write at least client_id, redirect_uris and scopes, or remove the file")
		return nil
	case errors.As(err, &broken):
		d.problem(broken.line, "", broken.message, broken.hint)
		return nil
	case err != nil:
		d.problem(0, "", err.Error(), "")
		return nil
	}
	return n
}

type brokenError struct {
	line          int
	message, hint string
}

func (e *brokenError) Error() string { return e.message }

// decode reads a file that consists of one mapping without aliases; io.EOF means
// that there is nothing in it. Aliases are refused as a whole: nobody needs them
// here, and a few bytes of them can stand for gigabytes.
func decode(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, syntaxError(err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, &brokenError{second.Line, "there is a second document in the file", "write one client a file"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].Tag == "!!null" {
		return nil, io.EOF
	}
	root := doc.Content[0]
	if a := findAlias(root); a != nil {
		return nil, &brokenError{a.Line, "anchors and aliases (& and *) are not supported", "write the value out; put a text that starts with & or * in quotes"}
	}
	if root.Kind != yaml.MappingNode {
		return nil, &brokenError{root.Line, "the file does not consist of keys and values", "write lines such as client_id: nextcloud"}
	}
	return root, nil
}

// syntaxError takes the line out of the text of an error of the YAML package,
// which has it nowhere else.
func syntaxError(err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, found := strings.CutPrefix(message, "line "); found {
		number, after, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			line, message = n, after
		}
	}
	return &brokenError{line, "not YAML: " + message, "mind the indentation and the blank after each colon; put texts with : or # in quotes"}
}

func findAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n
	}
	for _, c := range n.Content {
		if a := findAlias(c); a != nil {
			return a
		}
	}
	return nil
}

// mapping reads the keys that stand under prefix.
func (d *draft) mapping(n *yaml.Node, prefix string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name, message := scalar(k)
		if message != "" {
			d.problem(k.Line, strings.TrimSuffix(prefix, "."), "a key is not a text", "")
			continue
		}
		key := prefix + name
		if first, found := seen[name]; found {
			d.problem(k.Line, key, fmt.Sprintf("it is here twice, first on line %d", first), "keep one of them")
			continue
		}
		seen[name] = k.Line
		switch f := findField(key); {
		case f != nil && strings.Contains(name, "."):
			d.problem(k.Line, key, "unknown key", "write it beneath "+name[:strings.LastIndexByte(name, '.')]+":, without the dot")
		case f != nil:
			d.lines[key] = k.Line
			d.field(f, v)
		case !isGroupOfKeys(key):
			d.problem(k.Line, key, "unknown key", unknownHint(key))
		case v.Kind != yaml.MappingNode:
			d.problem(v.Line, key, "there are no keys under it", "write the keys beneath it, each indented by two blanks: "+strings.Join(keysUnder(key), ", "))
		default:
			d.mapping(v, key+".")
		}
	}
}

func (d *draft) field(f *field, n *yaml.Node) {
	v, faults := readValue(n, f)
	faults = append(faults, f.judge(v, len(faults) > 0)...)
	for _, x := range faults {
		d.problem(x.line, f.key, x.message, x.hint)
	}
	// What is wrong is set nevertheless, so that rules over several keys see that
	// it is there. The client is thrown away in the end.
	f.set(d, v)
}

// judge tells what is wrong with a value of the right type.
func (f *field) judge(v value, broken bool) (faults []fault) {
	if broken {
		return nil
	}
	items := v.items
	if f.kind == kindText {
		items = []item{v.item}
	}
	for _, it := range items {
		if len(f.values) > 0 && !slices.Contains(f.values, it.text) {
			hint := "write " + oneOf(f.values)
			if near := didYouMean(it.text, f.values); near != "" {
				hint = near
			}
			faults = append(faults, fault{it.line, fmt.Sprintf("%q is not supported", clip(it.text)), hint})
		}
		if f.check == nil {
			continue
		}
		if message, hint := f.check(it.text); message != "" {
			if f.kind == kindList {
				message = clip(it.text) + ": " + message
			}
			faults = append(faults, fault{it.line, message, hint})
		}
	}
	switch {
	case f.kind == kindList && len(f.values) > 0 && len(items) == 0:
		faults = append(faults, fault{v.line, "it is empty", "leave it out for " + f.def})
	case f.kind == kindDuration && (int64(v.span) < f.least || int64(v.span) > f.most):
		faults = append(faults, fault{v.line, fmt.Sprintf("%s is not between %s and %s", clip(v.text), spell(time.Duration(f.least)), spell(time.Duration(f.most))), ""})
	case f.kind == kindNumber && (int64(v.number) < f.least || int64(v.number) > f.most):
		faults = append(faults, fault{v.line, fmt.Sprintf("%d is not between %d and %d", v.number, f.least, f.most), ""})
	}
	return faults
}

func findField(key string) *field {
	for i := range fields {
		if fields[i].key == key {
			return &fields[i]
		}
	}
	return nil
}

func isGroupOfKeys(key string) bool { return len(keysUnder(key)) > 0 }

func keysUnder(group string) []string {
	var names []string
	for _, f := range fields {
		if name, found := strings.CutPrefix(f.key, group+"."); found {
			names = append(names, name)
		}
	}
	return names
}

func unknownHint(key string) string {
	if key == "client_secret" {
		return "a secret is never written down here: put its hash into client_secret_hash, or run gatehouse client reset-secret"
	}
	names := []string{"scopes", "groups_claim", "lifespans"}
	for _, f := range fields {
		names = append(names, f.key)
	}
	return didYouMean(key, names)
}

func oneOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}

// spell writes a duration the way parseDuration reads it, in its largest unit.
func spell(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day && d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

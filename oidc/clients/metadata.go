package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// MaxMetadata is the largest client metadata document, in bytes.
const MaxMetadata = 32 << 10

const (
	maxEntries = 50 // of a list
	maxMembers = 200
)

// The errors of registration (RFC 7591, section 3.2.2).
const (
	ErrorRedirectURI         = "invalid_redirect_uri"
	ErrorMetadata            = "invalid_client_metadata"
	ErrorStatement           = "invalid_software_statement"
	ErrorUnapprovedStatement = "unapproved_software_statement"
)

// MetadataError says what is wrong in client metadata, in words that echo nothing of
// it: plain ASCII without quotes and backslashes (RFC 6749, section 5.2).
type MetadataError struct {
	Code        string
	Description string
}

// Error returns code and description.
func (e *MetadataError) Error() string { return e.Code + ": " + e.Description }

func metadataError(name, message, hint string) *MetadataError {
	e := &MetadataError{Code: ErrorMetadata}
	if name == "redirect_uris" {
		e.Code = ErrorRedirectURI
	}
	text := message
	if name != "" {
		text = name + ": " + message
	}
	if hint != "" {
		text += "; " + hint
	}
	e.Description = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\' || r == '’':
			return '\''
		case r == '–' || r == '—':
			return '-'
		case r < ' ' || r > '~':
			return '.'
		}
		return r
	}, text)
	return e
}

// Metadata is what an application says of itself when it registers (RFC 7591,
// section 2; OpenID Connect Registration 1.0, section 2).
type Metadata struct {
	// Client is all that follows from it and from the operator's policy. It has no
	// secret yet, and no id unless one was given.
	Client *oidc.Client
	// ClientID and ClientSecret are what an update names (RFC 7592, section 2.2).
	ClientID, ClientSecret string

	scope string // as it was asked for, "" for all there is
}

// described are the members of client metadata that are keys of client files, too.
// Everything else of a file is the operator's.
var described = []string{
	"redirect_uris", "post_logout_redirect_uris", "grant_types", "response_types", "response_modes", "token_endpoint_auth_method",
	"token_endpoint_auth_signing_alg", "jwks", "jwks_uri", "request_object_signing_alg", "request_uris", "require_signed_request_object",
	"require_pushed_authorization_requests", "client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts", "software_id",
	"software_version", "subject_type", "sector_identifier_uri", "id_token_signed_response_alg", "userinfo_signed_response_alg", "default_max_age", "default_acr_values",
	"require_auth_time", "initiate_login_uri",
}

// encrypted are members that ask for what would be wrong to leave out in silence.
var encrypted = []string{
	"id_token_encrypted_response_alg", "id_token_encrypted_response_enc", "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc",
}

// Read reads client metadata. Members that it does not know are passed over, as RFC
// 7591, section 2, demands, and so are names in several languages (client_name#de):
// pages show the one without a language. Errors are *MetadataError.
func (p *Policy) Read(data []byte) (*Metadata, error) {
	members, err := readMembers(data)
	if err != nil {
		return nil, err
	}
	m := &Metadata{}
	if err := m.readStrangers(members); err != nil {
		return nil, err
	}
	d := &draft{lines: map[string]int{}, registered: true}
	d.client.ApplicationType, _ = readText(members["application_type"])
	switch d.client.ApplicationType {
	case "":
		d.client.ApplicationType = applicationWeb
	case applicationWeb, applicationNative:
	default:
		return nil, metadataError("application_type", "it has a value that is not supported", "write web or native")
	}
	for _, name := range described {
		if raw, there := members[name]; there {
			if err := d.member(name, raw); err != nil {
				return nil, err
			}
		}
	}
	if err := p.settle(d, m); err != nil {
		return nil, err
	}
	m.Client = &d.client
	return m, nil
}

const (
	applicationWeb    = "web"
	applicationNative = "native"
)

// readMembers returns the members that have a value: null stands for none (RFC 7592,
// section 2.2).
func readMembers(data []byte) (map[string]json.RawMessage, error) {
	switch {
	case len(data) > MaxMetadata:
		return nil, metadataError("", fmt.Sprintf("the metadata is larger than %d KiB", MaxMetadata>>10), "")
	case !utf8.Valid(data):
		return nil, metadataError("", "the metadata is not UTF-8 text", "")
	case nesting(data) > maxNesting:
		return nil, metadataError("", "the metadata is nested too deeply", "")
	}
	members, err := keys.Object(data)
	if err != nil {
		return nil, metadataError("", "the metadata is not one JSON object without double names", "")
	}
	if len(members) > maxMembers {
		return nil, metadataError("", "the metadata has too many members", "")
	}
	maps.DeleteFunc(members, func(_ string, raw json.RawMessage) bool { return string(raw) == "null" })
	return members, nil
}

// nesting returns how deep brackets stand within each other. It needs no valid JSON,
// and takes no memory for what is not.
func nesting(data []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// readStrangers reads what has no key in client files.
func (m *Metadata) readStrangers(members map[string]json.RawMessage) error {
	for _, name := range encrypted {
		if _, there := members[name]; there {
			return metadataError(name, "encryption is not supported", "leave it out")
		}
	}
	if raw, there := members["software_statement"]; there {
		return judgeStatement(raw)
	}
	for name, to := range map[string]*string{"scope": &m.scope, "client_id": &m.ClientID, "client_secret": &m.ClientSecret, "application_type": new(string)} {
		raw, there := members[name]
		if !there {
			continue
		}
		text, ok := readText(raw)
		if !ok {
			return metadataError(name, "it is not a text", "")
		}
		*to = text
	}
	return nil
}

// judgeStatement refuses every software statement, since nobody is trusted to make
// them: to pass one over would register an application that believes that it was
// vouched for (RFC 7591, section 3.2.2).
func judgeStatement(raw json.RawMessage) error {
	text, ok := readText(raw)
	if _, err := keys.ParseJWS(text); !ok || err != nil {
		return &MetadataError{Code: ErrorStatement, Description: "software_statement is not a signed JWT"}
	}
	return &MetadataError{Code: ErrorUnapprovedStatement, Description: "no maker of software statements is trusted here"}
}

func readText(raw json.RawMessage) (text string, ok bool) {
	if len(raw) == 0 {
		return "", false
	}
	err := json.Unmarshal(raw, &text)
	return text, err == nil && string(raw) != "null"
}

// member reads one member by the row that client files have for it.
func (d *draft) member(name string, raw json.RawMessage) error {
	f := findField(name)
	v := value{item: item{line: 1}}
	wrong := func(what string) error { return metadataError(name, "it is not "+what, "") }
	switch f.kind {
	case kindText:
		text, ok := readText(raw)
		if !ok {
			return wrong("a text")
		}
		if text == "" {
			return nil // RFC 7592, section 2.2: as if it weren't there
		}
		v.text = text
	case kindList:
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil || slices.Contains(bytesOf(raw), "null") {
			return wrong("a list of texts")
		}
		if len(list) > maxEntries {
			return metadataError(name, fmt.Sprintf("it has more than %d entries", maxEntries), "")
		}
		for _, text := range unique(list) {
			if name == "response_types" {
				text = inOurOrder(text, f.values)
			}
			v.items = append(v.items, item{text, 1})
		}
		if len(v.items) == 0 {
			return nil
		}
	case kindFlag:
		if err := json.Unmarshal(raw, &v.flag); err != nil {
			return wrong("true or false")
		}
	case kindNumber:
		if err := json.Unmarshal(raw, &v.number); err != nil || int64(v.number) < f.least || int64(v.number) > f.most {
			return wrong(fmt.Sprintf("a whole number from %d to %d", f.least, f.most))
		}
	case kindObject:
		if _, err := keys.Object(raw); err != nil {
			return wrong("an object")
		}
		v.json = slices.Clone(raw)
	}
	if err := f.judgeMember(v); err != nil {
		return err
	}
	d.lines[name] = 1
	f.set(d, v)
	return d.firstProblem()
}

// inOurOrder spells a response type as we do, since its words have no order (RFC 6749,
// section 3.1.1).
func inOurOrder(text string, known []string) string {
	for _, k := range known {
		if sameWords(k, text) {
			return k
		}
	}
	return text
}

// bytesOf returns the entries of a JSON list as they are written.
func bytesOf(raw json.RawMessage) []string {
	var entries []json.RawMessage
	_ = json.Unmarshal(raw, &entries) // what is no list has no entries
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = string(e)
	}
	return list
}

func unique(list []string) []string {
	var once []string
	for _, text := range list {
		if !slices.Contains(once, text) {
			once = append(once, text)
		}
	}
	return once
}

// fetchedOrShown are addresses that this server or people's browsers ask: strangers
// may name none without TLS.
var fetchedOrShown = []string{"client_uri", "logo_uri", "policy_uri", "tos_uri", "jwks_uri", "request_uris"}

// judgeMember is judge in words for strangers.
func (f *field) judgeMember(v value) error {
	items := v.items
	if f.kind == kindText {
		items = []item{v.item}
	}
	allowed := f.values
	if f.key == "subject_type" { // which attribute would be the operator's to say
		allowed = []string{subjectPublic, subjectPairwise}
	}
	for _, it := range items {
		if len(allowed) > 0 && !slices.Contains(allowed, it.text) {
			return metadataError(f.key, "it has a value that is not supported", "write "+oneOf(allowed))
		}
		if slices.Contains(fetchedOrShown, f.key) && !strings.HasPrefix(it.text, "https://") {
			return metadataError(f.key, "only https is allowed here", "")
		}
		if f.check == nil {
			continue
		}
		if message, _ := f.check(it.text); message != "" {
			if f.key == "default_acr_values" {
				message = "it has a value that is none"
			}
			return metadataError(f.key, message, "")
		}
	}
	return nil
}

// firstProblem turns what was found so far into an error of registration.
func (d *draft) firstProblem() error {
	if len(d.problems) == 0 {
		return nil
	}
	p := d.problems[0]
	return metadataError(p.Key, p.Message, p.Hint)
}

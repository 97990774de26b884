package ldapstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// none is written where a kind has something that a directory is to do without.
const none = "none"

// key is one row of a Kind's table as configurations know it. Exactly one of text,
// list and flag is there.
type key struct {
	name string
	doc  string
	text func(*Kind) *string
	list func(*Kind) *[]string
	flag func(*Kind) *bool
	// check says what is wrong with a value, and hint how to write it.
	check func(string) error
	hint  string
	// least is how many values there have to be.
	least int
}

// keys are all rows, in the order in which they are shown.
func keys() []key {
	const oneAttribute, attributes = "name an attribute", "name attributes, as in uid and mail"
	filter := func(hint string) (func(string) error, string) { return checkFilter, "write it as in " + hint }
	all := []key{
		{name: "user_filter", doc: "Says which entries are people.", text: func(k *Kind) *string { return &k.UserFilter }, least: 1},
		{name: "login_attributes", doc: "Are compared with a typed name; the first one names the person.", list: func(k *Kind) *[]string { return &k.LoginAttributes }, check: checkAttribute, hint: attributes, least: 1},
		{name: "qualified_names", doc: `Whether DOMAIN\name and name@domain are taken for sAMAccountName too, if the domain is the directory's own.`, flag: func(k *Kind) *bool { return &k.QualifiedNames }},
		{name: "id_attribute", doc: "Holds the stable id that becomes sub.", text: func(k *Kind) *string { return &k.IDAttribute }, check: checkAttribute, hint: "leave it out unless the kind's own does not fit", least: 1},
		{name: "id_format", doc: "How the id is kept: text; uuid, which is text too; guid or octets, 16 bytes in Microsoft's or in their own order.", text: func(k *Kind) *string { return (*string)(&k.IDFormat) }, check: checkFormat, hint: "write " + strings.Join(idFormats(), ", "), least: 1},
		{name: "account_rules", doc: "Attributes that say whether an account may be used, and how: " + ruleForms + ".", list: func(k *Kind) *[]string { return &k.AccountRules }, check: checkRule, hint: "write an attribute, a blank and one of " + ruleForms},
		{name: "password_expiry", doc: "Holds the time at which the password ends, for servers that don't look at it when somebody signs in.", text: func(k *Kind) *string { return &k.PasswordExpiry }, check: checkAttribute, hint: oneAttribute},
		{name: "group_filter", doc: "Says which entries are groups.", text: func(k *Kind) *string { return &k.GroupFilter }, least: 1},
		{name: "member_attributes", doc: "Of a group: the DNs of members.", list: func(k *Kind) *[]string { return &k.MemberAttributes }, check: checkAttribute, hint: attributes},
		{name: "member_name_attribute", doc: "Of a group: the bare names of members.", text: func(k *Kind) *string { return &k.MemberNameAttribute }, check: checkAttribute, hint: oneAttribute},
		{name: "member_name_source", doc: "Of a person: what member_name_attribute holds.", text: func(k *Kind) *string { return &k.MemberNameSource }, check: checkAttribute, hint: oneAttribute},
		{name: "member_of_attribute", doc: "Of people and groups: the DNs of their groups, as far as the server keeps them.", text: func(k *Kind) *string { return &k.MemberOfAttribute }, check: checkAttribute, hint: oneAttribute},
		{name: "token_groups_attribute", doc: "Of a person: the SIDs of all groups, worked out by the server when the entry alone is read.", text: func(k *Kind) *string { return &k.TokenGroupsAttribute }, check: checkAttribute, hint: oneAttribute},
		{name: "primary_group_source", doc: "Of a person: the number of the primary group.", text: func(k *Kind) *string { return &k.PrimaryGroupSource }, check: checkAttribute, hint: oneAttribute},
		{name: "primary_group_attribute", doc: "Of a group: what primary_group_source names; objectSid is put together with the person's.", text: func(k *Kind) *string { return &k.PrimaryGroupAttribute }, check: checkAttribute, hint: oneAttribute},
		{name: "entry_dn_attribute", doc: "Can be searched for an entry's own DN.", text: func(k *Kind) *string { return &k.EntryDNAttribute }, check: checkAttribute, hint: oneAttribute},
		{name: "group_name_attribute", doc: "Names a group.", text: func(k *Kind) *string { return &k.GroupNameAttribute }, check: checkAttribute, hint: oneAttribute, least: 1},
		{name: "group_display_attributes", doc: "Describe a group to people; the first with a value counts.", list: func(k *Kind) *[]string { return &k.GroupDisplayAttributes }, check: checkAttribute, hint: attributes},
		{name: "ignore_references", doc: "Whether an answer counts as whole although it names other places to search. None is ever followed.", flag: func(k *Kind) *bool { return &k.IgnoreReferences }},
	}
	for i := range all {
		switch all[i].name {
		case "user_filter":
			all[i].check, all[i].hint = filter("(objectClass=person)")
		case "group_filter":
			all[i].check, all[i].hint = filter("(objectClass=groupOfNames)")
		}
	}
	return all
}

func checkFilter(text string) error {
	if _, err := ldap.CompileFilter(text); err != nil {
		return fmt.Errorf("not an LDAP filter: %w", err)
	}
	return nil
}

func checkAttribute(name string) error {
	if !validAttribute(name) {
		return fmt.Errorf("%q is not the name of an attribute", name)
	}
	return nil
}

func checkFormat(text string) error {
	if !slices.Contains(idFormats(), text) {
		return fmt.Errorf("there is no format %q", text)
	}
	return nil
}

func checkRule(text string) error {
	_, err := parseRule(text)
	return err
}

// judge says what is wrong with the values written for a key.
func (k *key) judge(values []string) error {
	if k.flag != nil {
		if len(values) != 1 || values[0] != "true" && values[0] != "false" {
			return fmt.Errorf("%q is neither true nor false", strings.Join(values, " "))
		}
		return nil
	}
	if k.text != nil && len(values) != 1 {
		return fmt.Errorf("there are %d values, and there can be one", len(values))
	}
	if slices.Contains(values, none) {
		if k.least > 0 || len(values) > 1 {
			return fmt.Errorf("it can't be %q", none)
		}
		return nil
	}
	for _, v := range values {
		if err := k.check(v); err != nil {
			return err
		}
	}
	return nil
}

// set lays values that judge has seen over the kind's own.
func (k *key) set(kind *Kind, values []string) {
	switch {
	case k.flag != nil:
		*k.flag(kind) = values[0] == "true"
	case slices.Contains(values, none) && k.text != nil:
		*k.text(kind) = ""
	case slices.Contains(values, none):
		*k.list(kind) = nil
	case k.text != nil:
		*k.text(kind) = values[0]
	default:
		*k.list(kind) = values
	}
}

// get returns the values as they would be written.
func (k *key) get(kind *Kind) []string {
	switch {
	case k.flag != nil:
		return []string{fmt.Sprint(*k.flag(kind))}
	case k.text != nil && *k.text(kind) == "":
		return []string{none}
	case k.text != nil:
		return []string{*k.text(kind)}
	case len(*k.list(kind)) == 0:
		return []string{none}
	default:
		return *k.list(kind)
	}
}

// settleTable checks what Options lay over the kind's table.
func (o *Options) settleTable(add func(key, hint, format string, args ...any)) {
	known := keys()
	for i := range known {
		k := &known[i]
		values := o.Table[k.name]
		if len(values) == 0 {
			continue
		}
		if err := k.judge(values); err != nil {
			hint := k.hint
			if k.flag != nil {
				hint = "write true or false"
			} else if k.least == 0 {
				hint += ", or " + none
			}
			add(k.name, hint, "%v", err)
		}
	}
	for name := range o.Table {
		if !slices.ContainsFunc(known, func(k key) bool { return k.name == name }) {
			add(name, "see gatehouse directory show", "there is no such key")
		}
	}
}

// overlay returns the kind with what Options lay over it.
func (o *Options) overlay(kind Kind) Kind {
	known := keys()
	for i := range known {
		if values := o.Table[known[i].name]; len(values) > 0 {
			known[i].set(&kind, values)
		}
	}
	if len(o.Table["id_attribute"]) > 0 && len(o.Table["id_format"]) == 0 {
		kind.IDFormat = formatOf(kind.IDAttribute)
	}
	return kind
}

// formatOf says how a well-known attribute keeps ids.
func formatOf(attribute string) IDFormat {
	switch strings.ToLower(attribute) {
	case "objectguid":
		return IDGUID
	case "guid":
		return IDOctets
	case "entryuuid", "ipauniqueid":
		return IDUUID
	default:
		return IDText
	}
}

// Row is one line of the table in force.
type Row struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
	// Source says where the values come from: SourceKind, SourceFound,
	// SourceConfigured or SourceDefault.
	Source string `json:"source"`
	Doc    string `json:"meaning"`
}

// Where the values of a Row come from.
const (
	SourceKind       = "kind"       // they are what the kind has
	SourceFound      = "found"      // the server was asked
	SourceConfigured = "configured" // they are written in the configuration
	SourceDefault    = "default"    // they follow from other rows
)

// Table returns the table in force, asking the server for its kind if need be.
func (d *Directory) Table(ctx context.Context) ([]Row, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	o := &d.options
	source := func(configured bool, otherwise string) string {
		if configured {
			return SourceConfigured
		}
		return otherwise
	}
	bases := func(own []string, below string) string {
		if below != "" && len(own) == 0 {
			return SourceKind
		}
		return source(len(own) > 0, SourceDefault)
	}
	rows := []Row{
		{Key: "kind", Values: []string{t.Name}, Source: source(o.Kind != "", SourceFound), Doc: "What the directory is. It decides about all that is not configured."},
		{Key: "user_base_dn", Values: t.userBases, Source: bases(o.UserBaseDN, t.people), Doc: "Where people are looked for."},
		{Key: "group_base_dn", Values: t.groupBases, Source: bases(o.GroupBaseDN, t.groups), Doc: "Where groups are looked for."},
	}
	known := keys()
	for i := range known {
		k := &known[i]
		rows = append(rows, Row{Key: k.name, Values: k.get(&t.Kind), Source: source(len(o.Table[k.name]) > 0, SourceKind), Doc: k.doc})
	}
	return append(rows,
		Row{Key: "nested_groups", Values: []string{fmt.Sprint(!t.directOnly)}, Source: source(t.directOnly, SourceDefault), Doc: "Whether members of a group within a group count as members of the outer one."},
		Row{Key: "attributes", Values: o.Attributes, Source: SourceDefault, Doc: "What is read of a person besides, for claims."},
	), nil
}

// TableKeys lists the keys that Options.Table may have.
func TableKeys() []string {
	var names []string
	for _, k := range keys() {
		names = append(names, k.name)
	}
	return names
}

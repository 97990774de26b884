package ldapstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// position is up to where changes have come: for each server that takes writes a
// text that grows with every change.
type position map[string]string

// covers reports whether all changes up to other are in p.
func (p position) covers(other position) bool {
	for server, at := range other {
		if p[server] < at {
			return false
		}
	}
	return true
}

// reach takes a later position of one server in.
func (p position) reach(server, at string) {
	if at > p[server] {
		p[server] = at
	}
}

// dialect is in what the servers with content synchronisation differ.
type dialect interface {
	// names is the attribute with what changes call a person; name is the form of it
	// that comes with them.
	names() string
	name(uuid []byte) string
	// attribute says up to where the server has come, at place of a database.
	attribute() string
	place(base string) string
	read(p position, values []string)
	// cookie has the server begin at a position; told reads one of the server's.
	cookie(ctx context.Context, c *conn, root *entry, base string, p position) (string, error)
	told(p position, cookie string)
}

// openldapDialect speaks of change sequence numbers (CSN):
// 20251122031415.123456Z#000000#001#000000, whose third part is the server. Parts
// are of fixed length, so that texts compare as the numbers do.
type openldapDialect struct{}

func (openldapDialect) names() string            { return "entryUUID" }
func (openldapDialect) attribute() string        { return "contextCSN" }
func (openldapDialect) place(base string) string { return base }

// name is the text form of a UUID (RFC 9562, section 4).
func (openldapDialect) name(uuid []byte) string {
	h := hex.EncodeToString(uuid)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (openldapDialect) read(p position, values []string) {
	for _, csn := range values {
		if isCSN(csn) {
			p.reach(csn[len(csn)-10:len(csn)-7], csn)
		}
	}
}

// isCSN reports whether text is a change sequence number in the form that all
// releases since 2.4 write. Anything else must not be compared: a text that begins
// with a letter would be later than every change to come.
func isCSN(text string) bool {
	const form = "00000000000000.000000Z#000000#000#000000"
	if len(text) != len(form) {
		return false
	}
	for i := range form {
		switch c := text[i]; {
		case form[i] != '0':
			if c != form[i] {
				return false
			}
		case '0' <= c && c <= '9' || i > 21 && 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}

func (openldapDialect) cookie(_ context.Context, _ *conn, _ *entry, _ string, p position) (string, error) {
	return "rid=000,csn=" + strings.Join(slices.Sorted(maps.Values(p)), ";"), nil
}

func (d openldapDialect) told(p position, cookie string) {
	for part := range strings.SplitSeq(cookie, ",") {
		if list, ok := strings.CutPrefix(part, "csn="); ok {
			d.read(p, strings.Split(list, ";"))
		}
	}
}

// dirsrvDialect speaks of numbers in the retro changelog. A cookie is
// server#client#number; the server takes only those that it would give itself.
type dirsrvDialect struct{}

func (dirsrvDialect) names() string       { return "nsUniqueId" }
func (dirsrvDialect) attribute() string   { return "lastChangeNumber" }
func (dirsrvDialect) place(string) string { return "" }

func (dirsrvDialect) name(uuid []byte) string {
	h := hex.EncodeToString(uuid)
	return strings.Join([]string{h[:8], h[8:16], h[16:24], h[24:]}, "-")
}

func (dirsrvDialect) read(p position, values []string) {
	for _, text := range values {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			p.reach("", fmt.Sprintf("%020d", n))
		}
	}
}

func (dirsrvDialect) cookie(ctx context.Context, c *conn, root *entry, base string, p position) (string, error) {
	// cn=ldap://dc=ldap1.example.org:389 is ldap1.example.org:389.
	server, found := strings.CutPrefix(root.first("netscapemdsuffix"), "cn=ldap://dc=")
	if !found {
		return "", fmt.Errorf("%w: the root DSE does not say what the server calls itself (netscapeMDSuffix)", errUnwatchable)
	}
	var me string
	err := c.do(ctx, func(l *ldap.Conn) error {
		result, err := l.WhoAmI(nil)
		if err == nil {
			me = strings.TrimSpace(strings.TrimPrefix(result.AuthzID, "dn:"))
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("asking who the service account is: %w", err)
	}
	return fmt.Sprintf("%s#%s:%s:%s#%s", server, me, base, everything, strings.TrimLeft(p[""][:19], "0")+p[""][19:]), nil
}

func (d dirsrvDialect) told(p position, cookie string) {
	if i := strings.LastIndexByte(cookie, '#'); i >= 0 {
		d.read(p, []string{cookie[i+1:]})
	}
}

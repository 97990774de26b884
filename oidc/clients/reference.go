package clients

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

//go:generate go test -run TestTheReferenceIsThatOfTheTable -update .

const referenceHead = `<!-- Generated from oidc/clients by go generate. Do not edit. -->
# Client files

One YAML file a client, ` + "`CLIENT_ID.yaml`" + `, in the folder that ` + "`clients_dir`" + ` names. A running server notices
changes by itself. It takes over all of them or, while any file has a problem, none; ` + "`gatehouse check`" + ` and the log
then tell every problem with file, line and what to do. The commands under ` + "`gatehouse client`" + ` edit these same files
and keep comments and order.

` + "```yaml" + `
client_id: nextcloud
client_name: Nextcloud
client_secret_hash: sha256:0f3c…   # made by gatehouse client create or reset-secret
redirect_uris: [https://cloud.example.org/apps/user_oidc/code]
grant_types: [authorization_code, refresh_token]
consent: remembered
scopes:
  everyone: [openid]
  groups:
    cn=cloud-users,ou=groups,dc=example,dc=org: [profile, email, groups]
` + "```" + `

Rules of the format:

- Unknown keys are errors. Anchors, aliases and tags are not supported.
- A list may be written as a single text. Durations are written 60s, 15m, 12h or 30d.
- A file has at most 256 KiB, a folder at most 10,000 files. Names that start with a dot or don't end in ` + "`.yaml`" + ` are
  ignored, but ` + "`.yml`" + ` is refused.
- Two distinguished names are the same group whatever their upper and lower case, blanks and escapes.
- The files may be readable for everyone: they hold hashes of secrets with more than 256 random bits,
  or slow hashes, and secrets that are encrypted with a key of the server's.

| key | type | default | what it does |
| --- | --- | --- | --- |
`

// Reference returns the reference document of client files in Markdown.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, f := range fields {
		doc := f.doc
		if len(f.values) > 1 {
			doc += " One of " + oneOf(f.values) + "."
			if f.kind == kindList {
				doc = strings.Replace(doc, " One of ", " Any of ", 1)
			}
		}
		switch f.kind {
		case kindDuration:
			doc += fmt.Sprintf(" %s to %s.", spell(time.Duration(f.least)), spell(time.Duration(f.most)))
		case kindNumber:
			doc += fmt.Sprintf(" %d to %d.", f.least, f.most)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.key, f.kind, f.def, strings.ReplaceAll(doc, "|", `\|`))
	}
	return b.Bytes()
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gatehouse/config"
	"gatehouse/oidc"
)

// write writes the configuration and what belongs to it. The configuration comes
// last, and only if it is one that the server would start with.
func (s *setup) write(e *environment) error {
	dir := filepath.Dir(s.path)
	if err := os.Mkdir(filepath.Join(dir, "clients.d"), 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of clients: %w", err)
	}
	if err := s.writePassword(); err != nil {
		return err
	}
	name, err := writeDraft(s.path, []byte(s.text(e)))
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(name) }() // gone if all went well
	if _, err := loadDraft(name); err != nil {
		return err
	}
	if !s.force {
		// A link fails if there is one already, a rename would replace it.
		if err := os.Link(name, s.path); errors.Is(err, fs.ErrExist) {
			return s.refuseToOverwrite(s.path)
		} else if err == nil {
			return nil
		}
	}
	if err := os.Rename(name, s.path); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// writePassword keeps a password that was typed.
func (s *setup) writePassword() error {
	if s.password == "" {
		return nil
	}
	path := s.file("bind.pw")
	if err := s.refuseToOverwrite(path); err != nil {
		return err
	}
	if err := writeFile(path, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	s.passwordFile = path
	return nil
}

// file is where init writes a file beside the configuration: each further directory
// has its own.
func (s *setup) file(name string) string {
	if s.add != "" {
		name = s.add + "-" + name
	}
	return filepath.Join(filepath.Dir(s.path), name)
}

// writeDraft writes a configuration beside the place where it is to be, and returns
// the draft's name, which the caller removes.
func writeDraft(path string, text []byte) (string, error) {
	draft, err := os.CreateTemp(filepath.Dir(path), ".gatehouse-*.yaml")
	if err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	if err := errors.Join(writeAll(draft, text), draft.Close()); err != nil {
		_ = os.Remove(draft.Name())
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	return draft.Name(), nil
}

// loadDraft reads it as the server would.
func loadDraft(name string) (*config.Config, error) {
	cfg, err := config.Load(name, nil)
	var problems config.Problems
	if errors.As(err, &problems) {
		return nil, withoutPlaces(oidc.Problems(converted(problems)))
	}
	return cfg, err
}

// withoutPlaces takes the lines of a draft that nobody sees out of problems.
func withoutPlaces(problems oidc.Problems) error {
	for i := range problems {
		problems[i].File, problems[i].Line = "", 0
	}
	return problems
}

func writeAll(f *os.File, text []byte) error {
	_, err := f.Write(text)
	return errors.Join(err, f.Sync())
}

func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(f.Chmod(mode), writeAll(f, data), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// text is the configuration with a reason for every line.
func (s *setup) text(e *environment) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	v := s.survey
	line("# Written by gatehouse init on %s, after a look at %s.", e.now().UTC().Format("2 January 2006"), v.Server)
	line("# All settings are in docs/configuration.md; gatehouse check tells what is wrong with a change.")
	line("")
	s.writeIssuer(line)
	line("")
	line("# Applications are files in this folder; gatehouse client writes them.")
	line("clients_dir: clients.d")
	line("# Both are made by the first start.")
	line("database: gatehouse.db")
	line("keys_dir: keys")
	line("")
	line("directory:")
	line("  # Add others that hold the same to the list: the next one is asked when one can't be reached.")
	line("  url: [%s]", scalar(s.url))
	s.writeTrust(line)
	s.writeAccount(line)
	s.writePlaces(line)
	return b.String()
}

func (s *setup) writeIssuer(line func(string, ...any)) {
	if s.issuer == "" {
		line("# To try it out on this machine. For people it has to be an https address that their browsers")
		line("# can reach: choose it for good, it is in every token. Then set trusted_proxies, or tls.")
		line("issuer: http://127.0.0.1:8080")
		line("listen: 127.0.0.1:8080")
		return
	}
	line("# What people and applications call the server. Choose it for good: it is in every token.")
	line("issuer: %s", scalar(strings.TrimRight(s.issuer, "/")))
	line("listen: 127.0.0.1:8080")
	if strings.HasPrefix(s.issuer, "https://") {
		line("# A proxy on this machine ends TLS, and is believed when it says who asks. Without a proxy:")
		line("# listen on :443 and set tls.cert_file and tls.key_file instead.")
		line(`trusted_proxies: [127.0.0.1, "::1"]`)
	}
}

func (s *setup) writeTrust(line func(string, ...any)) {
	if s.startTLS {
		line("  # Encrypts ldap:// before anything is said.")
		line("  start_tls: true")
	}
	if !s.survey.Encrypted {
		line("  # Not encrypted: this connection does not leave the machine.")
	}
	if s.caFile != "" {
		line("  # The authority that signed the directory's certificate. It is read again when it changes.")
		line("  ca_file: %s", scalar(s.beside(s.caFile)))
	} else if s.survey.Encrypted {
		line("  # The certificate is signed by an authority that this machine trusts; otherwise: ca_file.")
	}
	if s.clientCert != "" {
		line("  # Shown to the directory, which takes the account from it where there is no bind_dn.")
		line("  client_cert_file: %s", scalar(s.beside(s.clientCert)))
		line("  client_key_file: %s", scalar(s.beside(s.clientKey)))
	}
}

func (s *setup) writeAccount(line func(string, ...any)) {
	switch {
	case s.bindDN != "":
		line("  # Reads people and groups, and needs no right to write. The password is read again when the")
		line("  # directory refuses it, so it can be changed without a restart.")
		line("  bind_dn: %s", scalar(s.bindDN))
		line("  bind_password_file: %s", scalar(s.beside(s.passwordFile)))
	case s.survey.Account != "":
		line("  # The account is the one that the connection shows: %s", plain(s.survey.Account))
	default:
		line("  # The directory is read without an account; for one, set bind_dn and bind_password_file.")
	}
}

func (s *setup) writePlaces(line func(string, ...any)) {
	v := s.survey
	many := fmt.Sprint(v.People)
	if !v.Complete {
		many = "the first " + many
	}
	line("  # Where people and groups are looked for, below it to any depth. A look found %s people and %d groups.", many, v.Groups)
	for _, other := range v.OtherBases {
		line("  # There are people under %s too.", plain(other))
	}
	line("  base_dn: %s", scalar(v.BaseDN))
	if v.PeopleUnder != v.BaseDN && v.PeopleUnder != "" {
		line("  # The people that were seen are all in one place:")
		line("  # user_base_dn: %s", scalar(v.PeopleUnder))
	}
	if v.GroupsUnder != v.BaseDN && v.GroupsUnder != "" {
		line("  # group_base_dn: %s", scalar(v.GroupsUnder))
	}
	line("  # What the server says that it is%s. Filters and attributes follow from it.", inBrackets(v.Vendor))
	line("  kind: %s", v.Kind)
	if v.Usual {
		line("  # People sign in with %s, as is usual for it. Other attributes, if no two people share a value:", strings.Join(v.LoginAttributes, " or "))
		line("  # login_attributes: [%s, mail]", v.LoginAttributes[0])
	} else {
		line("  # What people may type to sign in. Everybody who was seen has these, no two of them the same.")
		line("  login_attributes: [%s]", strings.Join(v.LoginAttributes, ", "))
	}
	if v.IDAttribute != "" {
		line("  # The stable id that becomes sub, for the usual one is not there. Never change it.")
		line("  id_attribute: %s", v.IDAttribute)
	}
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + plain(text) + ")"
}

// beside writes a path as it is to be written in the configuration: relative ones
// are relative to its folder.
func (s *setup) beside(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	dir, err := filepath.Abs(filepath.Dir(s.path))
	if err != nil {
		return absolute
	}
	if relative, err := filepath.Rel(dir, absolute); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return absolute
}

var plainScalar = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9_./:@%=+,-]*( [A-Za-z0-9_./=+-][A-Za-z0-9_./:@%=+,-]*)*$`)

// scalar writes a text as YAML: as it is where that is safe, in double quotes as
// JSON otherwise.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !strings.HasSuffix(text, ":") && !strings.Contains(text, ": ") {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""` // a string can always be marshalled
	}
	return string(quoted)
}

// found says what the directory is.
func (s *setup) found() string {
	v := s.survey
	many := fmt.Sprint(v.People)
	if !v.Complete {
		many += " or more"
	}
	return fmt.Sprintf("%s is of the kind %s, with %s people and %d groups under %s\n", v.Server, v.Kind, many, v.Groups, plain(v.BaseDN))
}

// report says what was found and what to do next.
func (s *setup) report() string {
	var b strings.Builder
	v := s.survey
	b.WriteString(s.found())
	fmt.Fprintf(&b, "written: %s\n\nnext:\n", s.path)
	flag := ""
	if s.path != configFiles()[0] {
		flag = " --config " + s.path
	}
	group := v.Group
	if group == "" {
		group = "cn=staff,ou=groups," + v.BaseDN
	}
	fmt.Fprintf(&b, "  1. gatehouse doctor%s\n     looks closer: rights, indexes, certificates, clocks\n", flag)
	fmt.Fprintf(&b, "  2. gatehouse client create wiki \"Our wiki\" https://wiki.example.org%s\n", flag)
	fmt.Fprintf(&b, "     gatehouse client create-scope-map wiki %q openid profile email%s\n     lets members of a group into an application\n", plain(group), flag)
	fmt.Fprintf(&b, "  3. gatehouse serve%s\n     runs the server\n", flag)
	return b.String()
}

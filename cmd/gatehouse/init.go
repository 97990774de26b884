package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/ldapstore"
	"gatehouse/oidc"
)

// setup is what init is told, and what it finds out.
type setup struct {
	address                       string
	issuer                        string
	bindDN, passwordFile          string
	caFile, clientCert, clientKey string
	baseDN                        string
	fingerprint                   string // of an authority to trust
	force                         bool
	add                           string // the name of a further directory

	path     string // of the configuration
	url      string
	startTLS bool
	survey   *ldapstore.Survey
	authority,
	password string // to be written into files beside the configuration
}

func newInitCommand(env *environment) *cobra.Command {
	s := &setup{}
	cmd := &cobra.Command{
		Use:   "init URL",
		Short: "Look at a directory and write a configuration that fits",
		Long: `Connect to a directory, look at what it says of itself and at a sample of its
people and groups, and write a configuration for it: the file that --config names
(./gatehouse.yaml by default), and an empty folder clients.d beside it. Every line
says why it is there. Nothing that exists is overwritten without --force, and the
directory is only read.

URL is ldaps://HOST, ldap://HOST, ldapi://%2Fpath%2Fof%2Fsocket, ldaps+srv://DOMAIN,
or just HOST, which tries LDAPS and then StartTLS.

On a terminal it asks for what it is not told: the account to read with, its
password, and whether to trust a certificate of an unknown authority. Elsewhere
that is said by flags, and a certificate is trusted by its fingerprint.

With --add NAME the directory is a further one of a configuration that is there:
of students, say, beside the one of staff. Nothing else changes in the file, and
nobody's sub does.`,
		Example: `  gatehouse init ldap.example.org
  gatehouse init ldaps://ldap.example.org --bind-dn cn=gatehouse,ou=services,dc=example,dc=org --bind-password-file bind.pw --issuer https://sso.example.org
  gatehouse init ldap.students.example.org --add students`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.address = args[0]
			return env.init(cmd.Context(), s)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.issuer, "issuer", "", "the `address` that people and applications will use; default: one on this machine, to try it out")
	flags.StringVar(&s.bindDN, "bind-dn", "", "the `account` that reads people and groups")
	flags.StringVar(&s.passwordFile, "bind-password-file", "", "the `file` with its password")
	flags.StringVar(&s.caFile, "ca-file", "", "a PEM `file` of the authorities that may sign the directory's certificate")
	flags.StringVar(&s.fingerprint, "trust", "", "trust the authority with this SHA-256 `fingerprint`, and write its certificate to ca.pem")
	flags.StringVar(&s.clientCert, "client-cert-file", "", "a certificate (PEM `file`) to show to the directory")
	flags.StringVar(&s.clientKey, "client-key-file", "", "its private key (PEM `file`)")
	flags.StringVar(&s.baseDN, "base-dn", "", "the `entry` under which people and groups are, if the directory doesn't say")
	flags.BoolVar(&s.force, "force", false, "overwrite a configuration that is there")
	flags.StringVar(&s.add, "add", "", "add it, under this `name`, to the directories of a configuration that is there")
	return cmd
}

func (e *environment) init(ctx context.Context, s *setup) error {
	s.path = e.configFlag
	if s.path == "" {
		s.path = e.getenv("GATEHOUSE_CONFIG")
	}
	if s.path == "" {
		s.path = configFiles()[0]
	}
	if s.add != "" {
		return e.addDirectory(ctx, s)
	}
	if err := s.refuseToOverwrite(s.path); err != nil {
		return err
	}
	talk := e.dialogue()
	if err := s.explore(ctx, e, talk); err != nil {
		return err
	}
	if s.issuer == "" {
		s.issuer = talk.ask("address that people will use, as in https://sso.example.org (empty: try it out on this machine)")
	}
	if err := s.write(e); err != nil {
		return err
	}
	if err := e.tryConfiguration(ctx, s.path); err != nil {
		return err
	}
	for _, f := range s.survey.Findings {
		e.complain("warning", f.Message, f.Hint)
	}
	_, err := io.WriteString(e.stdout, s.report())
	return err
}

func (s *setup) refuseToOverwrite(path string) error {
	if _, err := os.Stat(path); err == nil && !s.force {
		return withHint(fmt.Errorf("%s is there already", path), "name another file with --config, add a further directory to a configuration with --add NAME, or overwrite it with --force")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for %s: %w", path, err)
	}
	return nil
}

// way is one way of connecting.
type way struct {
	url      string
	startTLS bool
}

// ways returns how to connect to what was written, best first.
func ways(address string) []way {
	if !strings.Contains(address, "://") {
		found := []way{{"ldaps://" + address, false}, {"ldap://" + address, true}}
		if isLoopback(address) {
			found = append(found, way{"ldap://" + address, false})
		}
		return found
	}
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "ldap" && !isLoopback(u.Host) || u.Scheme == "ldap+srv") {
		return []way{{address, true}}
	}
	return []way{{address, false}}
}

func isLoopback(host string) bool {
	u := url.URL{Host: host}
	name := u.Hostname()
	return strings.EqualFold(name, "localhost") || strings.HasPrefix(name, "127.") || name == "::1"
}

// options are those of one try.
func (s *setup) options(e *environment, w way) ldapstore.Options {
	o := ldapstore.Options{
		URL: []string{w.url}, StartTLS: w.startTLS, CAFile: s.caFile, ClientCertFile: s.clientCert, ClientKeyFile: s.clientKey,
		BindDN: s.bindDN, BaseDN: s.baseDN, Log: slog.New(slog.DiscardHandler), Now: e.now,
	}
	if s.bindDN != "" {
		o.BindPassword = func() (string, error) {
			if s.passwordFile == "" {
				return s.password, nil
			}
			secret, err := config.Directory{BindPasswordFile: s.passwordFile}.Password()
			return secret.Reveal(), err
		}
	}
	return o
}

// explore finds a way to connect and looks around. What is missing is asked for,
// where there is somebody to ask.
func (s *setup) explore(ctx context.Context, e *environment, talk *dialogue) error {
	if s.bindDN != "" && s.passwordFile == "" {
		if err := talk.password(s); err != nil {
			return err
		}
	}
	asked := s.bindDN != ""
	for {
		err := s.connect(ctx, e)
		var tls *ldapstore.TLSError
		var problems oidc.Problems
		switch {
		case errors.As(err, &tls) && tls.Untrusted() && s.authority == "":
			if err := s.trust(tls, e, talk); err != nil {
				return err
			}
		case errors.As(err, &problems) && !asked && talk != nil:
			e.report(err)
			asked = true
			if s.bindDN = talk.ask("account that may read people and groups, as in cn=gatehouse,ou=services,dc=example,dc=org"); s.bindDN == "" {
				return err
			}
			if err := talk.password(s); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// connect tries the ways in turn.
func (s *setup) connect(ctx context.Context, e *environment) error {
	var first error
	for _, w := range ways(s.address) {
		survey, err := ldapstore.LookAround(ctx, s.options(e, w))
		if err == nil {
			s.url, s.startTLS, s.survey = w.url, w.startTLS, survey
			return nil
		}
		var tls *ldapstore.TLSError
		var problems oidc.Problems
		if errors.As(err, &tls) && len(tls.Chain()) > 0 || errors.As(err, &problems) {
			return explained(err)
		}
		if first == nil {
			first = err
		}
	}
	return explained(first)
}

// explained adds the hint of a failed handshake.
func explained(err error) error {
	var tls *ldapstore.TLSError
	if errors.As(err, &tls) {
		_, hint := tls.Explain()
		return withHint(err, hint)
	}
	return err
}

// trust shows the certificate of an unknown authority. It is taken over if the
// operator says so, or named its fingerprint.
func (s *setup) trust(tls *ldapstore.TLSError, e *environment, talk *dialogue) error {
	anchor, own := ldapstore.Anchor(tls.Chain())
	if anchor == nil {
		return explained(tls)
	}
	shown := ldapstore.Fingerprint(anchor)
	plainly := func(text string) string { return strings.ToUpper(strings.ReplaceAll(text, ":", "")) }
	trusted := s.fingerprint != "" && plainly(s.fingerprint) == plainly(shown)
	if !trusted {
		fmt.Fprintf(e.stderr, "The directory shows a certificate that is signed by an authority which is not trusted here:\n")
		for i, c := range tls.Chain() {
			fmt.Fprintf(e.stderr, "  %d. %s, signed by %s, valid until %s\n", i+1, plain(c.Subject.String()), plain(c.Issuer.String()), when(c.NotAfter))
		}
		what := "the authority's"
		if own {
			what = "the server's own, for it does not show its authority's,"
		}
		fmt.Fprintf(e.stderr, "This is %s certificate, with the SHA-256 fingerprint\n  %s\n%s", what, shown, ldapstore.PEM(anchor))
		if s.fingerprint != "" {
			return withHint(errors.New("it is not the one that --trust names"), "compare the two: somebody may be between you and the directory")
		}
	}
	if !trusted {
		const question = "Does the fingerprint agree with what the people say who run the directory? Type yes to trust it"
		if talk == nil {
			return withHint(errors.New("the authority of the directory's certificate is not trusted"),
				"compare the fingerprint with what the people say who run the directory; if it agrees, give it with --trust, or the authority's certificate with --ca-file")
		}
		if talk.ask(question) != "yes" {
			return withHint(errors.New("the authority of the directory's certificate is not trusted"), "ask for its certificate, and give it with --ca-file")
		}
	}
	path := s.file("ca.pem")
	if err := s.refuseToOverwrite(path); err != nil {
		return err
	}
	if err := writeFile(path, ldapstore.PEM(anchor), 0o644); err != nil {
		return err
	}
	s.caFile, s.authority = path, path
	return nil
}

// tryConfiguration makes sure that the server would start with what was written,
// and could look people up.
func (e *environment) tryConfiguration(ctx context.Context, path string) error {
	cfg, err := config.Load(path, nil)
	if err != nil {
		return err
	}
	directory, err := e.openDirectory(cfg, nil)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Ping(ctx)
}

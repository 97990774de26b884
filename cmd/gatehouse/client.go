package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/provider"
)

func newClientCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Applications: make, show and change them",
		Long: `Each application is one YAML file in clients_dir. These commands write the same
files that you may edit by hand, after the same checks, and keep your comments.
A running server notices the change by itself.`,
	}
	cmd.AddCommand(
		newClientCreateCommand(env),
		newClientListCommand(env),
		newClientGetCommand(env),
		newClientSetCommand(env),
		newClientRemoveCommand(env),
		newClientResetSecretCommand(env),
		newClientSetImplicitScopesCommand(env),
		newClientCreateScopeMapCommand(env),
		newClientDeleteScopeMapCommand(env),
		newClientDisablePKCECommand(env),
		newClientPasswordCommand(env),
		newClientLegacyCryptoCommand(env),
		newClientRegisteredCommand(env),
		newRegistrationTokenCommand(env),
	)
	asGroup(cmd)
	return cmd
}

// newClient is what the command line says about a client to be made.
type newClient struct {
	id, name, origin string
	redirectURIs     []string
	grantTypes       []string
	scopes           []string
	jwksURI          string
	authMethod       string
	public           bool
	ownIssuer        bool
	secretFromStdin  bool
}

func newClientCreateCommand(env *environment) *cobra.Command {
	var n newClient
	cmd := &cobra.Command{
		Use:   "create NAME DISPLAY ORIGIN",
		Short: "Make a client and show its secret once",
		Long: `Make a client with the id NAME, which people see as DISPLAY and whose pages live
at ORIGIN, such as https://cloud.example.org.

Without --redirect-uri, browsers may be sent back to ORIGIN/callback and nowhere
else. The secret is printed here and never again: only a hash of it is kept.

At first nobody can sign in: give openid to everyone with --implicit-scope or
client set-implicit-scopes, or to a group with client create-scope-map.`,
		Example: `  gatehouse client create wiki "Our wiki" https://wiki.example.org
  gatehouse client create nextcloud Nextcloud https://cloud.example.org \
      --redirect-uri https://cloud.example.org/apps/user_oidc/code --implicit-scope openid
  gatehouse client create app "Phone app" https://app.example.org --public --redirect-uri org.example.app:/callback
  gatehouse client create backup Backup https://backup.example.org --grant-type client_credentials`,
		Args: arguments(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.id, n.name, n.origin = args[0], args[1], args[2]
			return env.createClient(cmd, n)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&n.redirectURIs, "redirect-uri", nil, "`URI` that a browser may be sent back to, compared letter for letter; may be given several times")
	flags.StringArrayVar(&n.grantTypes, "grant-type", nil, "`grant` type: authorization_code (the default), refresh_token, client_credentials or another of docs/client-files.md; may be given several times")
	flags.StringArrayVar(&n.scopes, "implicit-scope", nil, "`scope` for whoever can sign in; may be given several times")
	flags.StringVar(&n.authMethod, "auth-method", "", "how the application proves who it is: a `method` of token_endpoint_auth_method")
	flags.StringVar(&n.jwksURI, "jwks-uri", "", "`address` of the application's public keys, for private_key_jwt")
	flags.BoolVar(&n.public, "public", false, "an application that can't keep a secret, in a browser or on a device: it gets none")
	flags.BoolVar(&n.ownIssuer, "own-issuer", false, "give the client an issuer, addresses and keys that no other client has")
	flags.BoolVar(&n.secretFromStdin, "secret-stdin", false, "read the secret from standard input instead of making one: 32 to 64 letters and digits")
	env.addOutput(cmd)
	return cmd
}

// settings returns the keys of the file to be written.
func (n newClient) settings() ([]clients.Setting, error) {
	origin, err := url.Parse(n.origin)
	if err != nil || origin.Host == "" || origin.Scheme != "https" && origin.Scheme != "http" {
		return nil, usage(fmt.Sprintf("ORIGIN %q is not an address", n.origin), "write it like https://cloud.example.org")
	}
	settings := []clients.Setting{
		{Key: "client_name", Values: []string{n.name}},
		{Key: "client_uri", Values: []string{n.origin}},
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			settings = append(settings, clients.Setting{Key: key, Values: values})
		}
	}
	if slices.Contains(n.grantTypes, "password") {
		return nil, usage("the grant type password makes the client weaker, and has a verb of its own",
			"leave it out here, then: gatehouse client warning-insecure-client-enable-password "+n.id)
	}
	redirects := n.redirectURIs
	inBrowser := len(n.grantTypes) == 0 || slices.Contains(n.grantTypes, "authorization_code") || slices.Contains(n.grantTypes, "implicit")
	if len(redirects) == 0 && inBrowser {
		redirects = []string{strings.TrimSuffix(n.origin, "/") + "/callback"}
	}
	list("redirect_uris", redirects)
	list("grant_types", n.grantTypes)
	list("scopes.everyone", n.scopes)
	if n.public {
		n.authMethod = "none"
	}
	if n.authMethod != "" {
		list("token_endpoint_auth_method", []string{n.authMethod})
	}
	if n.ownIssuer {
		list("own_issuer", []string{"true"})
	}
	if n.jwksURI != "" {
		list("jwks_uri", []string{n.jwksURI})
	}
	return settings, nil
}

func (e *environment) createClient(cmd *cobra.Command, n newClient) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	settings, err := n.settings()
	if err != nil {
		return err
	}
	without := n.public || n.authMethod == "none" || n.authMethod == "private_key_jwt"
	var secret string
	switch {
	case n.public && n.authMethod != "" && n.authMethod != "none":
		return usage("--public and --auth-method exclude each other", "a public client proves nothing")
	case without && n.secretFromStdin:
		return usage("this client has no secret, so --secret-stdin does not fit", "leave it out")
	case !without:
		var hash string
		if secret, hash, err = e.newSecret(n.secretFromStdin); err != nil {
			return err
		}
		settings = append(settings, clients.Setting{Key: "client_secret_hash", Values: []string{hash}})
		sealed, err := e.seal(cfg, &oidc.Client{ID: n.id, TokenEndpointAuthMethod: n.authMethod}, secret)
		if err != nil {
			return err
		}
		if sealed != "" {
			settings = append(settings, clients.Setting{Key: "client_secret_sealed", Values: []string{sealed}})
		}
	}
	client, err := clients.Create(cfg.ClientsDir, n.id, settings...)
	if errors.Is(err, clients.ErrExists) {
		return withHint(err, "choose another name, or change it with client set")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "make the folder "+cfg.ClientsDir+" first")
	}
	if err != nil {
		return err
	}
	e.audit(cmd.Context(), cfg, "client create", slog.String("client", client.ID))
	shown := secret
	if n.secretFromStdin {
		shown = "" // whoever typed it knows it
	}
	err = e.print(withSecret(client, shown), func(w io.Writer) {
		fmt.Fprintf(w, "client %s is made\n\n", client.ID)
		e.tellApplication(w, cfg, client, shown)
	})
	e.warn(clients.Warnings(client))
	return err
}

// tellApplication prints what is to be typed into the application.
func (e *environment) tellApplication(w io.Writer, cfg *config.Config, c *oidc.Client, secret string) {
	fmt.Fprintf(w, "discovery      %s/.well-known/openid-configuration\n", provider.IssuerOf(cfg.Issuer, c))
	fmt.Fprintf(w, "client id      %s\n", c.ID)
	if secret != "" {
		kept := "only its hash is kept"
		if c.SecretSealed != "" {
			kept = "it is kept encrypted"
		}
		fmt.Fprintf(w, "client secret  %s\n               (shown this once; %s)\n", secret, kept)
	}
	for _, uri := range c.RedirectURIs {
		fmt.Fprintf(w, "redirect URI   %s\n", plain(uri))
	}
}

// newSecret returns a secret and its hash: a fresh one, or one that was chosen.
func (e *environment) newSecret(fromStdin bool) (secret, hash string, err error) {
	if !fromStdin {
		secret, hash = clients.NewSecret()
		return secret, hash, nil
	}
	data, err := io.ReadAll(io.LimitReader(e.stdin, 1<<10))
	if err != nil {
		return "", "", fmt.Errorf("read the secret: %w", err)
	}
	secret = strings.TrimRight(string(data), "\r\n")
	hash, err = clients.HashChosen(secret)
	return secret, hash, err
}

// seal returns the secret in the form that is kept for clients which sign with it,
// and "" for all others: what need not be known is not kept.
func (e *environment) seal(cfg *config.Config, c *oidc.Client, secret string) (string, error) {
	if !clients.NeedsSealedSecret(c) {
		return "", nil
	}
	ring, err := e.openKeys(cfg)
	if err != nil {
		return "", err
	}
	sealer, err := newSealer(ring)
	if err != nil {
		return "", err
	}
	return sealer.Seal(c.ID, secret), nil
}

func newClientListCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all clients",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			set, err := clients.Open(cfg.ClientsDir)
			if err != nil {
				return err
			}
			all := set.All()
			listed := make([]any, len(all))
			rows := make([][]string, len(all))
			for i, c := range all {
				listed[i] = nested(fieldsOf(c))
				kind := "confidential"
				if c.Public() {
					kind = "public"
				}
				rows[i] = []string{c.ID, c.Name, kind, whoEnters(c)}
			}
			return env.print(listed, func(w io.Writer) {
				table(w, []string{"ID", "NAME", "KIND", "WHO CAN SIGN IN"}, rows)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientGetCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "get NAME",
		Short:             "Show one client with all that holds for it",
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			set, err := clients.Open(cfg.ClientsDir)
			if err != nil {
				return err
			}
			client, err := env.findAnyClient(cmd.Context(), cfg, set, args[0])
			if err != nil {
				return err
			}
			return env.showClient(client, "")
		},
	}
	env.addOutput(cmd)
	return cmd
}

// findClient returns a client or an error with a hint.
func findClient(set *clients.Set, id string) (*oidc.Client, error) {
	client, err := set.Client(id)
	if errors.Is(err, oidc.ErrNotFound) {
		return nil, unknownClient(id)
	}
	return client, err
}

func unknownClient(id string) error {
	return withHint(fmt.Errorf("client %q: %w", id, oidc.ErrNotFound), "gatehouse client list shows all clients")
}

// completeClient completes the first argument to the ids of the clients.
func (e *environment) completeClient(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cfg, err := e.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, c := range set.All() {
		ids = append(ids, c.ID+"\t"+plain(c.Name))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

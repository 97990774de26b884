package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/ldapstore"
	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/clients"
)

func newExplainCommand(env *environment) *cobra.Command {
	var user, client, scope string
	cmd := &cobra.Command{
		Use:   "explain --user NAME --client ID",
		Short: "Say why a person may or may not use an application",
		Long: `Look a person up in the directory just as a sign-in does, and show what was
found: the filters that were run, the entry, the groups and how they were reached,
which scope maps hit, the claims that the application would get, or the reason of
a refusal. It needs no password, changes nothing and signs nobody in.

It is the code that serves tokens: the person is looked up by name, as at sign-in,
and then by id, as whenever a token is used. What it can't see are the states of a password:
wrong, expired, locked.

Exit code 4 means that the person would be refused.`,
		Example: `  gatehouse explain --user ada --client wiki
  gatehouse explain --user ada --client wiki --scope "openid email"`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user == "" || client == "" {
				return usage("a person and a client are needed", "give --user NAME and --client ID")
			}
			return env.explain(cmd.Context(), user, client, scope)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&user, "user", "", "the `name` that the person types at sign-in")
	flags.StringVar(&client, "client", "", "the `id` of the client")
	flags.StringVar(&scope, "scope", "", "the `scopes` that the application asks for; default: openid and all that the person has")
	_ = cmd.RegisterFlagCompletionFunc("client", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return env.completeClient(cmd, nil, typed)
	}) // the flag is there
	env.addOutput(cmd)
	return cmd
}

// explanation is what explain prints.
type explanation struct {
	Client    string           `json:"client_id"`
	User      string           `json:"user"`
	Steps     []explainedStep  `json:"steps"`
	Person    *explainedPerson `json:"person,omitempty"`
	Requested []string         `json:"scopes_requested,omitempty"`
	Granted   []string         `json:"scopes_granted,omitempty"`
	Final     []string         `json:"scopes_final,omitempty"`
	Reasons   []claims.Reason  `json:"reasons,omitempty"`
	Claims    map[string]any   `json:"claims,omitempty"`
	Admitted  bool             `json:"admitted"`
	Refusal   string           `json:"refusal,omitempty"`
	// SubjectNote says why sub is not among the claims.
	SubjectNote string `json:"sub_note,omitempty"`
	Error       string `json:"error,omitempty"`
}

type explainedStep struct {
	What    string   `json:"what"`
	Server  string   `json:"server,omitempty"`
	Base    string   `json:"base,omitempty"`
	Filter  string   `json:"filter,omitempty"`
	Entries int      `json:"entries"`
	DN      string   `json:"dn,omitempty"`
	Path    []string `json:"path,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Millis  float64  `json:"ms"`
	Error   string   `json:"error,omitempty"`
}

type explainedPerson struct {
	ID       string           `json:"id"`
	DN       string           `json:"dn"`
	Username string           `json:"username"`
	State    string           `json:"state"`
	Groups   []explainedGroup `json:"groups"`
}

type explainedGroup struct {
	DN   string   `json:"dn"`
	Name string   `json:"name"`
	Path []string `json:"path,omitempty"`
}

func (e *environment) explain(ctx context.Context, name, id, scope string) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		return err
	}
	client, err := e.findAnyClient(ctx, cfg, set, id)
	if err != nil {
		return err
	}
	table, err := claimsTable(cfg)
	if err != nil {
		return err
	}
	x := &explanation{Client: id, User: name, Steps: []explainedStep{}}
	user, err := e.lookUp(ctx, cfg, set, x)
	if err != nil {
		// What was tried is the best there is to say about a directory that failed.
		x.Error = err.Error()
		return errors.Join(e.print(x, x.write), fmt.Errorf("look up %q: %w", name, err))
	}
	if user != nil {
		e.decide(cfg, client, user, table, strings.Fields(scope), x)
	}
	if err := e.print(x, x.write); err != nil {
		return err
	}
	if !x.Admitted {
		return &exitError{code: exitNoAccess}
	}
	return nil
}

// lookUp finds the person and keeps the trace. No person is no error: it is the
// reason of a refusal.
func (e *environment) lookUp(ctx context.Context, cfg *config.Config, set *clients.Set, x *explanation) (*oidc.User, error) {
	directory, err := e.openDirectory(cfg, set)
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	ctx = ldapstore.WithTrace(ctx, func(s ldapstore.Step) { x.Steps = append(x.Steps, explainStep(s)) })
	user, err := directory.UserByName(ctx, x.User)
	var refused *oidc.SignInError
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		x.Refusal = "nobody in the directory signs in with this name"
		return nil, nil
	case errors.As(err, &refused):
		x.Refusal = "more than one entry has this name, so nobody can sign in with it"
		return nil, nil
	case err != nil:
		return nil, err
	}
	// A sign-in goes by the name, and every token after it by the id.
	x.Steps = append(x.Steps, explainedStep{What: stepByID})
	user, err = directory.User(ctx, user.ID)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		x.Refusal = "the entry is found by its name but not by its id: the account may not search for it, or it has just been deleted"
		return nil, nil
	case err != nil:
		return nil, err
	}
	x.Person = &explainedPerson{ID: user.ID, DN: user.DN, Username: user.Username, State: user.State.String(), Groups: []explainedGroup{}}
	for _, g := range user.Groups {
		x.Person.Groups = append(x.Person.Groups, explainedGroup{DN: g.DN, Name: g.Name, Path: g.Path})
	}
	slices.SortFunc(x.Person.Groups, func(a, b explainedGroup) int { return strings.Compare(a.DN, b.DN) })
	return user, nil
}

// stepByID is where the look-up by name ends and that by id begins.
const stepByID = "by_id"

func explainStep(s ldapstore.Step) explainedStep {
	out := explainedStep{
		What: s.What, Server: s.Server, Base: s.Base, Filter: s.Filter, Entries: s.Entries,
		DN: s.DN, Path: s.Path, Detail: s.Detail, Millis: float64(s.Took.Microseconds()) / 1000,
	}
	if s.Err != nil {
		out.Error = s.Err.Error()
	}
	return out
}

// decide fills in what the server would decide, and the claims that would follow.
func (e *environment) decide(cfg *config.Config, client *oidc.Client, user *oidc.User, table claims.Table, requested []string, x *explanation) {
	if len(requested) == 0 {
		requested = claims.Resolve(client, user, nil).Final
		if !slices.Contains(requested, claims.ScopeOpenID) {
			requested = append([]string{claims.ScopeOpenID}, requested...)
		}
	}
	decision := claims.Resolve(client, user, requested)
	x.Requested, x.Granted, x.Final, x.Admitted = requested, decision.Granted, decision.Final, decision.Admitted
	x.Reasons = decision.Reasons
	if refusal, refused := decision.Refusal(); refused {
		x.Refusal = refusal.Detail
		if refusal.Scope != "" {
			x.Refusal = "scope " + refusal.Scope + " is missing, " + refusal.Detail
		}
		return
	}
	if !slices.ContainsFunc(client.GrantTypes, ofPeople) {
		x.Admitted, x.Refusal = false, "this client signs nobody in: its grant types are for itself alone"
		return
	}
	x.Claims = claims.Build(claims.Request{Client: client, User: user, Table: table, Scopes: decision.Granted, Final: decision.Final})
	e.addSubject(cfg, client, user, x)
}

// addSubject adds the person's sub. Pairwise ones need the server secret, which
// the operator may not be able to read: the decision stands without it.
func (e *environment) addSubject(cfg *config.Config, client *oidc.Client, user *oidc.User, x *explanation) {
	var salt []byte
	if client.SubjectType == claims.SubjectPairwise {
		ring, err := e.openKeys(cfg)
		if err != nil {
			x.SubjectNote = "not known here, the keys can't be read: " + err.Error()
			return
		}
		salt = pairwiseSalt(ring)
	}
	subject, err := claims.Subject(client, user, salt)
	if err != nil {
		x.Admitted, x.Claims, x.Refusal = false, nil, "no subject: "+err.Error()
		return
	}
	if slices.Contains(x.Granted, claims.ScopeOpenID) {
		x.Claims["sub"] = subject
	}
}

// write prints the explanation for people.
func (x *explanation) write(w io.Writer) {
	fmt.Fprintln(w, "directory")
	for _, s := range x.Steps {
		s.write(w)
	}
	if x.Person != nil {
		fmt.Fprintf(w, "\nperson\n  dn        %s\n  id        %s\n  username  %s\n  account   %s\n",
			plain(x.Person.DN), plain(x.Person.ID), plain(x.Person.Username), x.Person.State)
		fmt.Fprintln(w, "\ngroups")
		for _, g := range x.Person.Groups {
			fmt.Fprintf(w, "  %s%s\n", plain(g.DN), through(g.Path))
		}
		if len(x.Person.Groups) == 0 {
			fmt.Fprintln(w, "  none")
		}
		fmt.Fprintf(w, "\nscopes of client %s\n  asked for  %s\n", x.Client, plain(orDash(strings.Join(x.Requested, " "))))
		for _, r := range x.Reasons {
			fmt.Fprintf(w, "  %s\n", plain(r.String()))
		}
		if x.Admitted {
			fmt.Fprintf(w, "  granted    %s\n", plain(orDash(strings.Join(x.Granted, " "))))
		}
	}
	if len(x.Claims) > 0 || x.SubjectNote != "" {
		fmt.Fprintln(w, "\nclaims")
		names := make([]string, 0, len(x.Claims))
		for name := range x.Claims {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			value, err := json.Marshal(x.Claims[name])
			if err != nil {
				continue // claims are made of texts, numbers and lists
			}
			fmt.Fprintf(w, "  %s: %s\n", name, plain(string(value)))
		}
	}
	if x.SubjectNote != "" {
		fmt.Fprintf(w, "  sub is %s\n", plain(x.SubjectNote))
	}
	switch {
	case x.Admitted:
		fmt.Fprintln(w, "\nresult: would be let in")
	case x.Refusal != "":
		fmt.Fprintf(w, "\nresult: would be refused, %s\n", plain(x.Refusal))
	}
}

func (s explainedStep) write(w io.Writer) {
	switch s.What {
	case ldapstore.StepSearch:
		fmt.Fprintf(w, "  search %s %s: %d found, %.1f ms", plain(s.Base), plain(s.Filter), s.Entries, s.Millis)
	case stepByID:
		fmt.Fprintln(w, "  found by name; now by id, as for every token:")
		return
	case ldapstore.StepGroup:
		return // shown with the groups
	case ldapstore.StepEntry:
		fmt.Fprintf(w, "  entry %s", plain(s.DN))
	default:
		fmt.Fprintf(w, "  %s %s", s.What, plain(s.Server))
	}
	if s.Detail != "" {
		fmt.Fprintf(w, ", %s", plain(s.Detail))
	}
	if s.Error != "" {
		fmt.Fprintf(w, ", failed: %s", plain(s.Error))
	}
	fmt.Fprintln(w)
}

func through(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return ", through " + plain(strings.Join(path, " → "))
}

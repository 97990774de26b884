package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/oidc"
)

// environment is what a command has of the world around it.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // KEY=value
	now            func() time.Time

	configFlag string // --config
	output     string // --output, of the commands that have it
}

// getenv returns an environment variable, the last one if it is there twice, as
// exec does.
func (e *environment) getenv(name string) string {
	value := ""
	for _, pair := range e.environ {
		if v, found := strings.CutPrefix(pair, name+"="); found {
			value = v
		}
	}
	return value
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, env *environment) int {
	root := newRootCommand(env)
	root.SetArgs(args)
	return env.report(root.ExecuteContext(ctx))
}

// newRootCommand returns the command gatehouse with all its commands.
func newRootCommand(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "gatehouse",
		Short: "OpenID Connect sign-in from your LDAP directory",
		Long: `Gatehouse gives every application OpenID Connect sign-in from the LDAP
directory that an organisation already has. The directory stays the only place
where people and groups live.

Exit codes: 0 done, 1 failed or refused, 2 command line not understood,
3 check or doctor found problems, 4 explain found that the person would be refused.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err.Error(), "see "+cmd.CommandPath()+" --help")
	})
	root.PersistentFlags().StringVar(&env.configFlag, "config", "",
		"configuration `file`; default $GATEHOUSE_CONFIG, ./gatehouse.yaml or /etc/gatehouse/gatehouse.yaml")
	root.AddCommand(
		newClientCommand(env),
		newKeyCommand(env),
		newGrantCommand(env),
		newTokenCommand(env),
		newDirectoryCommand(env),

		newInitCommand(env),
		newCheckCommand(env),
		newDoctorCommand(env),
		newExplainCommand(env),
		newVersionCommand(env),
	)
	root.AddCommand(serverCommands(env)...)
	asGroup(root)
	return root
}

// asGroup makes a command that only holds others say so, instead of taking a
// misspelt name for a wish to read the help.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := "see " + cmd.CommandPath() + " --help"
		if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
			hint = "did you mean " + strings.Join(names, " or ") + "?"
		}
		return usage(fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath()), hint)
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr())
		_ = cmd.Help() // to the terminal; there is nothing to do if that fails
		return &exitError{code: exitUsage}
	}
}

// exitError is an error with an exit code of its own. Without err everything has
// been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// hinted is an error that says what to do about it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func withHint(err error, hint string) error { return &hinted{err: err, hint: hint} }

// usage is an error in the command line.
func usage(message, hint string) error {
	return &exitError{code: exitUsage, err: withHint(errors.New(message), hint)}
}

// report prints an error with its hint and returns the exit code.
func (e *environment) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	var problems oidc.Problems
	var hint *hinted
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			e.complain("error", p.String(), p.Hint)
		}
	case errors.As(err, &hint):
		e.complain("error", err.Error(), hint.hint)
	default:
		e.complain("error", err.Error(), "")
	}
	return code
}

// warn prints problems that don't keep a command from going on.
func (e *environment) warn(problems []oidc.Problem) {
	for _, p := range problems {
		e.complain("warning", p.String(), p.Hint)
	}
}

func (e *environment) complain(level, message, hint string) {
	for line := range strings.SplitSeq(message, "\n") { // errors that were joined
		fmt.Fprintf(e.stderr, "%s: %s\n", level, plain(line))
	}
	if hint != "" {
		fmt.Fprintf(e.stderr, "  hint: %s\n", plain(hint))
	}
}

// arguments checks the number of arguments; most < 0 means any. names says what
// they are, for the hint.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(fmt.Sprintf("an argument is missing: %q takes %s", cmd.CommandPath(), synopsis(cmd)), "see "+cmd.CommandPath()+" --help")
		case most >= 0 && len(args) > most:
			return usage(fmt.Sprintf("too many arguments: %q takes %s", cmd.CommandPath(), synopsis(cmd)), `put "quotes" around a name with blanks`)
		}
		return nil
	}
}

// synopsis returns what stands behind the name of a command in its usage line.
func synopsis(cmd *cobra.Command) string {
	_, rest, found := strings.Cut(cmd.Use, " ")
	if !found {
		return "none"
	}
	return rest
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
)

func newKeyCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Signing keys: list, rotate and retire them",
		Long: `Keys sign ID tokens. All keys are published. Of each algorithm the active one
signs, the next one waits for its time, and inactive ones verify what they have
signed. A running server takes changes over by itself. Private keys are never
printed.

A client with an issuer of its own has its own keys: --client says whose are
meant. Nobody else notices what happens to them.`,
	}
	cmd.AddCommand(newKeyListCommand(env), newKeyCreateCommand(env), newKeyImportCommand(env), newKeyRotateCommand(env), newKeyRetireCommand(env))
	asGroup(cmd)
	return cmd
}

// openKeys reads the keys and makes none.
func (e *environment) openKeys(cfg *config.Config) (*keys.Ring, error) {
	ring, err := keys.Load(cfg.KeysDir, e.now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(fmt.Errorf("there are no keys yet: %w", err), "the first start of gatehouse serve makes them")
	}
	return ring, err
}

func (e *environment) printKeys(infos []keys.Info) error {
	return e.print(infos, func(w io.Writer) {
		rows := make([][]string, len(infos))
		for i, k := range infos {
			from := when(k.ActiveFrom)
			if k.ActiveFrom.IsZero() {
				from = "key rotate"
			}
			rows[i] = []string{k.Kid, k.Alg, string(k.State), when(k.CreatedAt), from, when(k.InactiveFrom)}
		}
		table(w, []string{"KID", "ALG", "STATE", "MADE", "SIGNS FROM", "SIGNS UNTIL"}, rows)
	})
}

func newKeyListCommand(env *environment) *cobra.Command {
	var of keysFlag
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, without their private parts",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			ring, err := of.open(env, cfg)
			if err != nil {
				return err
			}
			return env.printKeys(ring.List())
		},
	}
	of.addTo(env, cmd)
	env.addOutput(cmd)
	return cmd
}

func newKeyCreateCommand(env *environment) *cobra.Command {
	var of keysFlag
	cmd := &cobra.Command{
		Use:   "create [ALGORITHM]",
		Short: "Make a spare key that is published and waits",
		Long: `Make a spare key, for ES256 unless said otherwise. Applications can learn it from
now on; it signs nothing until key rotate takes it into use. The first key of an
algorithm is active at once.

A server always has keys for ES256 and RS256. Others (` + strings.Join(keys.Asymmetric()[2:], ", ") + `)
are there, and published, if you make them. A client's own keys are those that it
needs, which the server makes by itself where it may write to keys_dir.`,
		Args:      arguments(0, 1),
		ValidArgs: keys.Asymmetric(),
		RunE: func(cmd *cobra.Command, args []string) error {
			algorithms, err := algorithms(append(args, keys.ES256)[:1])
			if err != nil {
				return err
			}
			if of.client != "" {
				made, err := env.firstKeys(cmd, of)
				if err != nil || made && len(args) == 0 {
					return err
				}
			}
			return env.changeKeys(cmd, of, "key create", algorithms, (*keys.Ring).Create)
		},
	}
	of.addTo(env, cmd)
	env.addOutput(cmd)
	return cmd
}

func newKeyRotateCommand(env *environment) *cobra.Command {
	delay, atOnce, revoke := keys.PublicationDelay, false, false
	var of keysFlag
	cmd := &cobra.Command{
		Use:   "rotate [ALGORITHM]",
		Short: "Let another key sign; the old one goes on verifying",
		Long: `Put another key in the place of the active one, of every algorithm that there are
keys of unless one is named. The new key is published at once and signs when applications have had the
time to learn it. The old one goes on verifying until key retire. Nobody notices.

If a private key has leaked: rotate --now, then retire the old key with --now.
Applications that keep the keys for a while may then refuse sign-ins for as long.
For the keys of one client, --client with --revoke does it all: new keys sign at
once, the old ones are deleted, and every grant and token of the client ends.`,
		Args:      arguments(0, 1),
		ValidArgs: keys.Asymmetric(),
		RunE: func(cmd *cobra.Command, args []string) error {
			algorithms, err := algorithms(args)
			if err != nil {
				return err
			}
			switch {
			case revoke && (of.client == "" || len(args) > 0):
				return usage("--revoke is for all keys of one client", "give --client, and no algorithm")
			case revoke && (atOnce || cmd.Flags().Changed("delay")):
				return usage("--revoke waits for nothing", "leave --now and --delay out")
			case revoke:
				return env.revokeKeys(cmd, of)
			case atOnce && cmd.Flags().Changed("delay"):
				return usage("--now and --delay exclude each other", "leave one of them out")
			case delay < 0:
				return usage("--delay lies in the past", "write a duration such as 10m")
			case atOnce:
				delay = 0
			}
			return env.changeKeys(cmd, of, "key rotate", algorithms, func(ring *keys.Ring, alg string) (keys.Info, error) {
				return ring.RotateAfter(alg, delay)
			})
		},
	}
	cmd.Flags().DurationVar(&delay, "delay", delay, "how long the new key is published before it signs")
	cmd.Flags().BoolVar(&atOnce, "now", false, "let the new key sign at once, for emergencies")
	cmd.Flags().BoolVar(&revoke, "revoke", false, "with --client: also delete the old keys and end the client's grants and tokens")
	of.addTo(env, cmd)
	env.addOutput(cmd)
	return cmd
}

// algorithms checks the algorithm on the command line; without one it returns none,
// which stands for all that there are keys of.
func algorithms(args []string) ([]string, error) {
	if len(args) > 0 && !slices.Contains(keys.Asymmetric(), args[0]) {
		return nil, usage(fmt.Sprintf("algorithm %q is not known", args[0]), "write one of "+strings.Join(keys.Asymmetric(), ", "))
	}
	return args, nil
}

// changeKeys makes or rotates a key of each algorithm, and tells and records it.
func (e *environment) changeKeys(cmd *cobra.Command, of keysFlag, what string, algorithms []string, change func(ring *keys.Ring, alg string) (keys.Info, error)) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	ring, err := of.open(e, cfg)
	if err != nil {
		return err
	}
	if len(algorithms) == 0 {
		algorithms = ring.Algorithms()
	}
	var made []keys.Info
	var failed oidc.Problems
	for _, alg := range algorithms {
		info, err := change(ring, alg)
		if err != nil {
			failed = append(failed, problemsOf(err)...)
			continue
		}
		made = append(made, info)
		e.audit(cmd.Context(), cfg, what, slog.String("kid", info.Kid), slog.String("client", of.client))
	}
	if len(made) > 0 {
		if err := e.printKeys(made); err != nil {
			return err
		}
	}
	return failed.Err()
}

func newKeyRetireCommand(env *environment) *cobra.Command {
	atOnce := false
	var of keysFlag
	cmd := &cobra.Command{
		Use:   "retire KID",
		Short: "Delete a key: what it signed is no longer accepted",
		Long: `Delete a key for good. It has to be one that no longer signs, and long enough
that no ID token of it can still be valid, unless --now says not to wait. The
active key of an algorithm is never deleted.`,
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.retireKey(cmd, of, args[0], atOnce)
		},
	}
	of.addTo(env, cmd)
	cmd.Flags().BoolVar(&atOnce, "now", false, "don't wait until its ID tokens have expired")
	env.addOutput(cmd)
	return cmd
}

func (e *environment) retireKey(cmd *cobra.Command, of keysFlag, kid string, atOnce bool) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	ring, err := of.open(e, cfg)
	if err != nil {
		return err
	}
	for _, k := range ring.List() {
		if k.Kid != kid || k.State != keys.StateInactive || atOnce {
			continue
		}
		if until := k.InactiveFrom.Add(longestIDToken(cfg)); e.now().Before(until) {
			return withHint(fmt.Errorf("ID tokens that %s has signed may be valid until %s", kid, when(until)), "wait, or retire it with --now: those tokens are then refused")
		}
	}
	if of.client == "" {
		if err := e.stillNeeded(cfg, ring, kid); err != nil {
			return err
		}
	}
	err = ring.Retire(kid)
	if errors.Is(err, oidc.ErrNotFound) {
		return withHint(err, "gatehouse key list shows all keys")
	}
	if err != nil {
		return err
	}
	e.audit(cmd.Context(), cfg, "key retire", slog.String("kid", kid), slog.String("client", of.client))
	return e.print(map[string]any{"retired": kid}, func(w io.Writer) { fmt.Fprintf(w, "key %s is deleted\n", kid) })
}

// stillNeeded refuses to take the last key of an algorithm away from clients that
// are signed for with it.
func (e *environment) stillNeeded(cfg *config.Config, ring *keys.Ring, kid string) error {
	alg, left := "", map[string]int{}
	for _, k := range ring.List() {
		left[k.Alg]++
		if k.Kid == kid {
			alg = k.Alg
		}
	}
	if alg == "" || left[alg] > 1 {
		return nil
	}
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		return err
	}
	for _, c := range set.All() {
		for _, r := range c.ResponseAlgs() {
			if r.Alg == alg && !c.OwnIssuer {
				return withHint(fmt.Errorf("%s is the only %s key, and client %s needs one", kid, alg, c.ID), "make another one sign first, with key rotate "+alg+", or change the client's "+r.Key)
			}
		}
	}
	return nil
}

func newKeyImportCommand(env *environment) *cobra.Command {
	alg := ""
	var of keysFlag
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take a private key over that was made elsewhere",
		Long: `Take over a private key from FILE, - for standard input: PEM (PKCS #8, PKCS #1 or
SEC 1, not encrypted) or a JWK, which keeps its kid. It becomes a spare key, or the
active one if it is the first of its algorithm, as with key create. FILE stays as
it is: delete it if nobody else needs it.`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := algorithms(slices.DeleteFunc([]string{alg}, func(s string) bool { return s == "" })); err != nil {
				return err
			}
			in := env.stdin
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer func() { _ = file.Close() }() // only read
				in = file
			}
			data, err := io.ReadAll(io.LimitReader(in, 1<<20))
			if err != nil {
				return fmt.Errorf("read the key: %w", err)
			}
			return env.changeKeys(cmd, of, "key import", []string{alg}, func(ring *keys.Ring, alg string) (keys.Info, error) {
				return ring.Import(data, alg)
			})
		},
	}
	cmd.Flags().StringVar(&alg, "alg", "", "the `algorithm` that it signs with, if its kind leaves a choice")
	of.addTo(env, cmd)
	env.addOutput(cmd)
	return cmd
}

// longestIDToken returns how long an ID token lives at most. Client files that
// can't be read now are left out: the server's own lifespan is the usual one.
func longestIDToken(cfg *config.Config) time.Duration {
	longest := lifespans(cfg).ID
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		return longest
	}
	for _, c := range set.All() { // their own keys or not: it is a bound
		longest = max(longest, c.Lifespans.ID)
	}
	return longest
}

func (e *environment) completeKey(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := e.load()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ring, err := e.openKeys(cfg)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var kids []string
	for _, k := range ring.List() {
		kids = append(kids, k.Kid+"\t"+string(k.State))
	}
	return kids, cobra.ShellCompDirectiveNoFileComp
}

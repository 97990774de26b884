// Command gatehouse gives applications OpenID Connect sign-in from an LDAP
// directory.
//
// It owns the command line: what each command takes, prints and exits with. One
// function builds the server (server.go). It leaves rules to the rooms beneath
// oidc, and SQL to oidc/store.
//
// Always true: a command that changes something writes an audit line, a secret is
// printed once and only by the command that made it, and a command that failed
// says so in lower case with a hint and exits with one of the codes below.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // it was tried and failed, or was refused
	exitUsage    = 2 // the command line was not understood; nothing was done
	exitProblems = 3 // check or doctor found problems
	exitNoAccess = 4 // explain: the person would be refused
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), now: time.Now,
	})
	stop()
	os.Exit(code)
}

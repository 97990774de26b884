package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// dialogue asks somebody at a terminal. A nil dialogue asks nobody: every answer is
// empty.
type dialogue struct {
	terminal *os.File
	in       *bufio.Reader
	out      io.Writer
}

// dialogue returns nil if nobody is there to be asked.
func (e *environment) dialogue() *dialogue {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &dialogue{terminal: f, in: bufio.NewReader(f), out: e.stderr}
}

// ask asks one question and returns the answer, "" if there is none.
func (d *dialogue) ask(question string) string {
	if d == nil {
		return ""
	}
	fmt.Fprintf(d.out, "%s: ", question)
	line, err := d.in.ReadString('\n')
	if err != nil && line == "" {
		return ""
	}
	return strings.TrimSpace(line)
}

// password asks for the account's, which is not shown.
func (d *dialogue) password(s *setup) error {
	if d == nil {
		return usage("the password of the account is missing", "write it into a file and name that with --bind-password-file")
	}
	fmt.Fprintf(d.out, "its password: ")
	secret, err := term.ReadPassword(int(d.terminal.Fd()))
	fmt.Fprintln(d.out)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	if len(secret) == 0 {
		return errors.New("no password was typed")
	}
	s.password = string(secret)
	return nil
}

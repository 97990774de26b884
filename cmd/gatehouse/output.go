package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// addOutput gives a command the flag --output.
func (e *environment) addOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&e.output, "output", "o", "text", "`form` of what is printed: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if e.output != "text" && e.output != "json" {
			return usage(fmt.Sprintf("output %q is not known", e.output), "write --output text or --output json")
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// print writes value as JSON if that was asked for, and calls text otherwise.
func (e *environment) print(value any, text func(w io.Writer)) error {
	if e.output == "json" {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	var b strings.Builder
	text(&b)
	if _, err := io.WriteString(e.stdout, b.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// table writes rows under a heading, in columns.
func table(w io.Writer, heading []string, rows [][]string) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells []string) {
		for i, cell := range cells {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(columns, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	line(heading)
	for _, row := range rows {
		line(row)
	}
	_ = columns.Flush() // into memory
}

// plain makes a text harmless for a terminal: names in a directory or a client
// file may hold anything.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '\uFFFD'
		}
		return c
	}, text)
}

// orDash returns a dash for what is empty, so that columns stay columns.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// when writes a time for people, in UTC as in the log.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

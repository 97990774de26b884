package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong. It has the fields of oidc.Problem, so that
// one converts to the other.
type Problem struct {
	File    string // path as the operator gave it, "environment", or ""
	Line    int    // 1-based, 0 where no line can be named
	Key     string // dotted key, or the name of a variable
	Message string // what is wrong; lower case, no full stop
	Hint    string // what to do about it, or ""
}

// Problems is every problem found in one run, as an error.
type Problems []Problem

// Error returns one line a problem, each followed by its hint.
func (p Problems) Error() string {
	var b strings.Builder
	for i, q := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		place := q.File
		if q.Line > 0 {
			place = fmt.Sprintf("%s:%d", q.File, q.Line)
		}
		for _, part := range []string{place, q.Key} {
			if part != "" {
				b.WriteString(part + ": ")
			}
		}
		b.WriteString(q.Message)
		if q.Hint != "" {
			b.WriteString("\n  hint: " + q.Hint)
		}
	}
	return b.String()
}

// suggest returns a hint that names the nearest of the candidates, or "". Words
// are near that share most of their pairs of letters, whatever their order.
func suggest(written string, candidates []string) string {
	pairs := func(s string) map[string]int {
		m := map[string]int{}
		for s = "^" + strings.ToLower(s) + "$"; len(s) > 1; s = s[1:] {
			m[s[:2]]++
		}
		return m
	}
	w := pairs(written)
	best, bestScore := "", 0.5
	for _, c := range candidates {
		shared, p := 0, pairs(c)
		for pair, n := range p {
			shared += min(n, w[pair])
		}
		score := 2 * float64(shared) / float64(len(written)+len(c)+2)
		if last := c[strings.LastIndexByte(c, '.')+1:]; strings.EqualFold(last, written) {
			score = 1 // the right word at the wrong depth
		}
		if score > bestScore {
			best, bestScore = c, score
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// clip keeps what is echoed short.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}

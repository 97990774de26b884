package ldapstore

import (
	"context"
	"time"
)

// Step is one thing that was done to answer a call, for explain and doctor. It
// may hold names and filters, so it is for an operator's eyes and not for logs.
// It never holds a password.
type Step struct {
	What    string        // one of the Step constants
	Server  string        // URL
	Base    string        // search
	Filter  string        // search
	Entries int           // search: how many were found
	DN      string        // entry, group, bind
	Path    []string      // group: the groups that lead to it
	Detail  string        // in words
	Took    time.Duration // search, bind
	Err     error
}

// What a Step tells of.
const (
	StepSearch    = "search"    // one search was run
	StepDirectory = "directory" // of several, the one named in Server is asked
	StepKind      = "kind"      // the kind of the directory was found
	StepEntry     = "entry"     // the person's entry was chosen
	StepGroup     = "group"     // the person belongs to a group
	StepBind      = "bind"      // a password was tried
	StepPassword  = "password"  // a password was changed
)

type traceKey struct{}

// WithTrace returns a context whose calls tell f every step, in order.
func WithTrace(ctx context.Context, f func(Step)) context.Context {
	return context.WithValue(ctx, traceKey{}, f)
}

// traced reports whether somebody wants to be told.
func traced(ctx context.Context) bool { return ctx.Value(traceKey{}) != nil }

func trace(ctx context.Context, s Step) {
	if f, ok := ctx.Value(traceKey{}).(func(Step)); ok {
		f(s)
	}
}

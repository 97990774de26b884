package ldapstore

import (
	"context"
	"time"
)

// noAttributes asks for no attribute at all (RFC 4511, section 4.5.1.8).
const noAttributes = "1.1"

// pageSize is small enough for the limits that servers come with, and large
// enough for one page to be enough nearly always.
const pageSize = 250

// query is one search.
type query struct {
	purpose    string // for the error text
	base       string
	scope      int
	filter     string
	attributes []string
	limit      int // entries at most; 0 reads all, page by page (RFC 2696)
	controls   []control
}

// answer is what a search found.
type answer struct {
	entries    []*entry
	references bool // the server named other places to search
	server     *server
}

// search runs q on the first server that answers, and goes on asking for values
// that were held back. The error wraps oidc.ErrUnavailable; entries may come with
// it if a limit was exceeded.
func (d *Directory) search(ctx context.Context, q query) (answer, error) {
	a, err := d.searchOnce(ctx, q)
	if err == nil {
		err = d.wholeValues(ctx, a.entries)
	}
	return a, err
}

// searchOnce runs q and leaves entries as they come.
func (d *Directory) searchOnce(ctx context.Context, q query) (answer, error) {
	var a answer
	begin := time.Now()
	err := d.onServer(ctx, func(ctx context.Context, s *server) error {
		return s.read(ctx, func(ctx context.Context, c *conn) error {
			a = answer{server: s}
			return a.collect(ctx, c, &q)
		})
	})
	if err != nil {
		err = unavailable(q.purpose, err)
	}
	step := Step{What: StepSearch, Base: q.base, Filter: q.filter, Entries: len(a.entries), Took: time.Since(begin), Err: err}
	if a.server != nil {
		step.Server = a.server.url
	}
	trace(ctx, step)
	return a, err
}

// collect runs the search on one connection.
func (a *answer) collect(ctx context.Context, c *conn, q *query) error {
	sending(ctx, a.server, c)
	var cookie []byte
	for {
		controls := q.controls
		if q.limit == 0 {
			controls = append(controls[:len(controls):len(controls)], pagingControl(pageSize, cookie))
		}
		p, err := c.search(ctx, q, controls...)
		a.entries = append(a.entries, p.entries...)
		a.references = a.references || p.references
		if err != nil {
			// The server may still hold the pages that were not fetched.
			c.broken = c.broken || len(cookie) > 0
			return err
		}
		if cookie = p.cookie; q.limit != 0 || len(cookie) == 0 {
			return nil
		}
	}
}

// secondsLeft tells the server when nobody waits any longer. Servers count in whole
// seconds, some from the last full one: with one too few, they refuse a search that
// happens to run as a second ends (Samba: for 4 ms of every second, if told 1). How long we wait is the context's own deadline.
func secondsLeft(ctx context.Context) int {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return int(time.Until(deadline)/time.Second) + 2
}

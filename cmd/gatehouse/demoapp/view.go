package demoapp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"
)

// identity is who has signed in, and what the application was told of them.
type identity struct {
	subject   string
	tokens    *oauth2.Token
	granted   []string
	idToken   claimSet
	userInfo  claimSet
	readAt    time.Time
	refreshed int
}

// claimSet is claims, and those that the page has shown before.
type claimSet struct{ values, shown map[string]any }

func (c *claimSet) set(values map[string]any) { c.values = values }

// seen takes what there is now for what later changes are told from.
func (id *identity) seen() {
	id.idToken.shown, id.userInfo.shown = id.idToken.values, id.userInfo.values
}

// view is what page.html shows.
type view struct {
	Title, Intro, Path, Issuer string
	Letter                     string // the first of Title, as a sign
	Others                     []Link
	People                     []Person
	Notice                     *notice
	SignedOut                  bool
	Identity                   *identityView
}

type identityView struct {
	Name      string
	ReadAt    string
	IDToken   []row
	UserInfo  []row
	Scopes    []scopeRow
	Groups    []string
	HasGroups bool // there is a groups claim, even if it is empty
	Access    string
	Expires   string
	Refresh   string
	Refreshed int
}

// row is one claim.
type row struct {
	Name, Meaning string
	Values        []string
	Mark          string // new, changed or gone since the page was shown last
}

type scopeRow struct {
	Name, Meaning string
	Asked         bool
	Granted       bool
}

// show renders the page. It is rendered whole before anything is sent.
func (a *app) show(w http.ResponseWriter, status int, v view) {
	v.Title, v.Intro, v.Path, v.Issuer, v.Others = a.opts.Title, a.opts.Intro, a.path, strings.TrimSuffix(a.opts.Issuer, "/"), a.opts.Others
	v.Letter, v.People = firstLetter(a.opts.Title), a.opts.People
	var b bytes.Buffer
	if err := a.page.Execute(&b, v); err != nil {
		a.opts.Log.Error("the page of the demonstration application can't be shown", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that went away misses nothing
}

func firstLetter(text string) string {
	_, size := utf8.DecodeRuneInString(text)
	return text[:size]
}

// view returns what to show of an identity, nil for nobody.
func (id *identity) view(asked []string) *identityView {
	if id == nil {
		return nil
	}
	v := &identityView{
		Name: id.subject, ReadAt: id.readAt.Format("15:04:05"), Refreshed: id.refreshed,
		IDToken: id.idToken.rows(), UserInfo: id.userInfo.rows(), Access: veil(id.tokens.AccessToken), Refresh: veil(id.tokens.RefreshToken),
	}
	for _, claim := range []string{"preferred_username", "name"} {
		if name, ok := id.userInfo.values[claim].(string); ok && name != "" {
			v.Name = name
		}
	}
	if !id.tokens.Expiry.IsZero() {
		v.Expires = id.tokens.Expiry.Format("15:04:05")
	}
	for _, s := range asked {
		v.Scopes = append(v.Scopes, scopeRow{s, meanings["scope "+s], true, slices.Contains(id.granted, s)})
	}
	for _, s := range id.granted {
		if !slices.Contains(asked, s) {
			v.Scopes = append(v.Scopes, scopeRow{s, meanings["scope "+s], false, true})
		}
	}
	for _, claims := range []map[string]any{id.idToken.values, id.userInfo.values} {
		if groups, ok := claims["groups"]; ok {
			v.Groups, v.HasGroups = texts(groups), true
		}
	}
	return v
}

// veil shows enough of a token to see that it is another one.
func veil(token string) string {
	if len(token) < 24 {
		return strings.Repeat("•", len(token))
	}
	return token[:9] + "…" + token[len(token)-4:]
}

// rows returns the claims by name, those of the protocol first.
func (c *claimSet) rows() []row {
	first := []string{"iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "amr", "acr", "sid", "jti", "at_hash"}
	names := slices.Collect(maps.Keys(c.values))
	for name := range c.shown {
		if _, ok := c.values[name]; !ok {
			names = append(names, name)
		}
	}
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var rows []row
	for _, name := range names {
		value, now := c.values[name]
		before, then := c.shown[name]
		r := row{Name: name, Meaning: meanings[name]}
		switch {
		case !now:
			value, r.Mark = before, "gone"
		case !then && c.shown != nil:
			r.Mark = "new"
		case then && !reflect.DeepEqual(value, before):
			r.Mark = "changed"
		}
		r.Values = texts(value)
		if at, ok := value.(float64); ok && slices.Contains([]string{"exp", "iat", "auth_time", "updated_at", "rat"}, name) {
			r.Values = append(r.Values, time.Unix(int64(at), 0).UTC().Format("2 January 2006, 15:04:05 UTC"))
		}
		rows = append(rows, r)
	}
	return rows
}

// texts returns a JSON value as lines.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return []string{strconv.FormatInt(int64(v), 10)}
		}
		return []string{strconv.FormatFloat(v, 'g', -1, 64)}
	case []any:
		lines := make([]string, 0, len(v))
		for _, e := range v {
			lines = append(lines, strings.Join(texts(e), ", "))
		}
		return lines
	case map[string]any:
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			lines = append(lines, name+": "+strings.Join(texts(v[name]), ", "))
		}
		return lines
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			return []string{fmt.Sprint(v)}
		}
		return []string{string(raw)}
	}
}

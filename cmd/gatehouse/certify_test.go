package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/ldapstore/ldaptest"
)

var update = flag.Bool("update", false, "write the certification pages anew")

// rule is one rule of a specification, with what proves that it is kept. The table
// of rules is certifyRules; the pages in docs/certification are made from it.
type rule struct {
	id      string // as in the name of its test
	section string
	shows   string // what is so
	// types are the response types that it is shown with, in both response modes:
	// those of the Basic, Implicit and Hybrid profiles, and of their Form Post
	// forms. Nil: it has nothing to do with them.
	types    []string
	profiles []string // further profiles that it belongs to
	later    bool     // moves the clock
	check    func(p *party)
	missing  string // why it is not met, where it isn't
}

// The profiles besides those that follow from the response types.
const (
	profileConfig     = "config"
	profileDynamic    = "dynamic"
	profileThirdParty = "third-party-login"
	profileBeyond     = "beyond" // what no OpenID certification asks of a provider
)

// in reports whether a rule belongs to a profile.
func (r *rule) in(profile string) bool {
	has := func(flow []string) bool {
		return slices.ContainsFunc(r.types, func(types string) bool { return slices.Contains(flow, types) })
	}
	switch profile {
	case "basic":
		return has(codeFlow())
	case "implicit":
		return has(implicitFlow())
	case "hybrid":
		return has(hybridFlow())
	case "form-post":
		return len(r.types) > 0
	}
	return slices.Contains(r.profiles, profile)
}

// TestCertification shows every rule that OpenID certification asks of a provider,
// and those of the RFCs beyond, on the production server and a real slapd.
func TestCertification(t *testing.T) {
	t.Parallel()
	ldap := ldaptest.Start(t)
	ldap.AddPerson(certPerson)
	var now, later []rule
	for _, r := range certifyRules() {
		switch {
		case r.check == nil:
		case r.later:
			later = append(later, r)
		default:
			now = append(now, r)
		}
	}
	t.Run("now", func(t *testing.T) {
		t.Parallel()
		op := startCertSite(t, ldap, certFiles())
		for _, r := range now {
			r.each(func(name, types, mode string) {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r.check(newParty(t, op, types, mode))
				})
			})
		}
	})
	t.Run("later", func(t *testing.T) { // one after the other: the clock is everybody's
		t.Parallel()
		op := startCertSite(t, ldap, certFiles())
		for _, r := range later {
			r.each(func(name, types, mode string) {
				t.Run(name, func(t *testing.T) { r.check(newParty(t, op, types, mode)) })
			})
		}
	})
}

// each calls run for every way in which a rule is shown.
func (r *rule) each(run func(name, types, mode string)) {
	if len(r.types) == 0 {
		run(r.id, "code", "")
		return
	}
	for _, types := range r.types {
		for _, mode := range []string{"", "form_post"} {
			name := fmt.Sprintf("%s/%s", r.id, types)
			if mode != "" {
				name += "/" + mode
			}
			run(name, types, mode)
		}
	}
}

func TestRulesOfTheCertificationTableAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range certifyRules() {
		switch {
		case seen[r.id]:
			t.Errorf("%s: there are two of them", r.id)
		case r.section == "" || r.shows == "" || !strings.HasSuffix(r.shows, "."):
			t.Errorf("%s: says neither what it shows nor why", r.id)
		case (r.check == nil) == (r.missing == ""):
			t.Errorf("%s: is shown, or says why not", r.id)
		case len(r.types) == 0 && len(r.profiles) == 0:
			t.Errorf("%s: belongs to no profile", r.id)
		}
		seen[r.id] = true
	}
}

package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/oidc"
)

// stateRule says what an attribute tells about an account. Rules read the
// account's own state only, not the password's: a stranger can lock a password
// by guessing, and must not end what was granted.
type stateRule struct {
	attribute string
	judge     func(value string, now time.Time) (oidc.AccountState, error)
}

// ruleForms lists what may stand behind the attribute in a rule.
const ruleForms = "disabled_if:VALUE, disabled_by_flag:NUMBER, disabled_until_time, expired_at_time, expired_at_day or expired_at_filetime"

// parseRule reads a rule of Kind.AccountRules: an attribute, a blank, and what its
// values mean.
func parseRule(text string) (stateRule, error) {
	attribute, form, _ := strings.Cut(strings.TrimSpace(text), " ")
	name, argument, argued := strings.Cut(strings.TrimSpace(form), ":")
	r := stateRule{attribute: attribute}
	if !validAttribute(attribute) {
		return r, fmt.Errorf("%q is not the name of an attribute", attribute)
	}
	switch name {
	case "disabled_if":
		r.judge = disabledIf(argument)
	case "disabled_by_flag":
		flag, err := strconv.ParseInt(argument, 0, 64)
		if err != nil || flag <= 0 {
			return r, fmt.Errorf("%q is not a flag", argument)
		}
		r.judge = disabledByFlag(flag)
	case "disabled_until_time":
		r.judge = disabledUntilTime
	case "expired_at_time":
		r.judge = expiredAtTime
	case "expired_at_day":
		r.judge = expiredAtDay
	case "expired_at_filetime":
		r.judge = expiredAtFileTime
	default:
		return r, fmt.Errorf("there is no rule %q", name)
	}
	if takes := strings.HasPrefix(name, "disabled_if") || name == "disabled_by_flag"; takes != argued || argued && argument == "" {
		return r, errors.New("what stands behind the colon does not fit the rule")
	}
	return r, nil
}

// state applies the rules; the first that finds something wins. A value that can't
// be read means that the state can't be told.
func (t *table) state(e *entry, now time.Time) (oidc.AccountState, error) {
	for _, rule := range t.states {
		for _, value := range e.values(rule.attribute) {
			state, err := rule.judge(value, now)
			if err != nil {
				return oidc.StateDisabled, fmt.Errorf("attribute %s: %w", rule.attribute, err)
			}
			if state != oidc.StateActive {
				return state, nil
			}
		}
	}
	return oidc.StateActive, nil
}

// noteRule is a remark for operators about the state of a password, which only a
// bind decides about. With value "" any value but 0 counts.
type noteRule struct{ attribute, value, text string }

// remarks says in words how an account stands.
func (t *table) remarks(e *entry, state oidc.AccountState) string {
	words := []string{"account is " + state.String()}
	for _, note := range t.notes {
		if v := e.first(note.attribute); v == note.value && v != "" || note.value == "" && v != "" && v != "0" {
			words = append(words, note.text)
		}
	}
	return strings.Join(words, "; ")
}

// wanted lists the attributes to read of a person: those of notes only if somebody
// is there to read them.
func (t *table) wanted(ctx context.Context) []string {
	if !traced(ctx) {
		return t.userAttributes
	}
	names := t.userAttributes[:len(t.userAttributes):len(t.userAttributes)]
	for _, note := range t.notes {
		names = append(names, note.attribute)
	}
	return unique(names)
}

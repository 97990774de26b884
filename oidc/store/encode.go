package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gatehouse/oidc"
)

// micros returns t as it is kept; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of micros, in UTC.
func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

// stamp returns now as it is kept where 0 would mean "not yet": a used_at or
// revoked_at of 0 would leave a used code unused.
func stamp(now time.Time) (int64, error) {
	v := micros(now)
	if v <= 0 {
		return 0, &faultError{fmt.Errorf("time %v is not after 1970", now)}
	}
	return v, nil
}

// latest returns the latest of times.
func latest(times ...time.Time) time.Time {
	var l time.Time
	for _, t := range times {
		if t.After(l) {
			l = t
		}
	}
	return l
}

// joinWords is for lists whose words hold no space: scopes (RFC 6749, section
// 3.3) and amr values (RFC 8176).
func joinWords(words []string) string { return strings.Join(words, " ") }

// splitWords is the inverse of joinWords; no words are nil.
func splitWords(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

func encodeClaims(c oidc.RequestedClaims) (string, error) {
	if c.Empty() {
		return "", nil
	}
	b, err := json.Marshal(c)
	return string(b), err
}

func decodeClaims(s string) (oidc.RequestedClaims, error) {
	var c oidc.RequestedClaims
	if s == "" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(s), &c); err != nil {
		return c, &faultError{fmt.Errorf("claims of a grant: %w", err)}
	}
	return c, nil
}

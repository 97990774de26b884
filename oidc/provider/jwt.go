package provider

import (
	"encoding/json"
	"errors"
	"math"
	"time"

	"gatehouse/oidc/keys"
)

// leeway is how far a client's clock may be off.
const leeway = 10 * time.Second

// jwtClaims are the claims of a JWT that a client has made, by their exact names.
type jwtClaims map[string]json.RawMessage

func parseJWT(payload []byte) (jwtClaims, error) {
	members, err := keys.Object(payload)
	if err != nil {
		return nil, errors.New("the claims are not a JSON object")
	}
	return members, nil
}

// text returns a claim that is a string, or "" if it isn't there.
func (m jwtClaims) text(name string) (string, error) {
	raw, there := m[name]
	if !there {
		return "", nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", errors.New(name + " is not a string")
	}
	return *s, nil
}

// moment returns a claim that is a NumericDate (RFC 7519, section 2).
func (m jwtClaims) moment(name string) (at time.Time, there bool, err error) {
	raw, there := m[name]
	if !there {
		return time.Time{}, false, nil
	}
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || math.Abs(*seconds) > 1e12 {
		return time.Time{}, true, errors.New(name + " is not a time in seconds")
	}
	return time.UnixMilli(int64(*seconds * 1000)), true, nil
}

// audience returns aud, and whether it is a single text (RFC 7519, section 4.1.3).
func (m jwtClaims) audience() (aud []string, single bool, err error) {
	raw, there := m["aud"]
	if !there {
		return nil, false, nil
	}
	var one *string
	if json.Unmarshal(raw, &one) == nil && one != nil {
		return []string{*one}, true, nil
	}
	if err := json.Unmarshal(raw, &aud); err != nil || len(aud) == 0 {
		return nil, false, errors.New("aud is neither a string nor a list of strings")
	}
	return aud, false, nil
}

// checkTimes judges exp, nbf and iat, and returns exp, zero if there is none. life
// bounds how far in the future exp may be, 0 for any.
func (m jwtClaims) checkTimes(now time.Time, life time.Duration) (expires time.Time, err error) {
	expires, hasExp, errExp := m.moment("exp")
	notBefore, hasNBF, errNBF := m.moment("nbf")
	issued, hasIAT, errIAT := m.moment("iat")
	if err := errors.Join(errExp, errNBF, errIAT); err != nil {
		return time.Time{}, err
	}
	switch {
	case hasExp && !now.Before(expires.Add(leeway)):
		err = errors.New("it has expired")
	case hasExp && life > 0 && expires.After(now.Add(life+leeway)):
		err = errors.New("exp is too far in the future")
	case hasNBF && notBefore.After(now.Add(leeway)):
		err = errors.New("it is not valid yet")
	case hasIAT && issued.After(now.Add(leeway)):
		err = errors.New("it was issued in the future")
	}
	return expires, err
}

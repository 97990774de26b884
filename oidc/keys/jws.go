package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxForeign is the longest token of others that is read, in bytes.
const maxForeign = 64 << 10

// Header is what is read of a JOSE header. Where its sender would have us find
// the key (jku, jwk, x5u, x5c) is never looked at.
type Header struct {
	Alg string
	Kid string
	Typ string // as sent
}

// JWS is a compact JWS (RFC 7515, section 7.1) that somebody else made. Until it is
// verified, header and payload are whatever a stranger has written.
type JWS struct {
	Header    Header
	Payload   []byte
	signed    []byte
	signature []byte
}

// ParseJWS takes a compact JWS apart. A header that must be understood (crit) is
// refused: no extension is known here.
func ParseJWS(token string) (*JWS, error) {
	if len(token) > maxForeign {
		return nil, fmt.Errorf("%w: it is too long", ErrInvalid)
	}
	signed, signaturePart, found := cutLast(token)
	headerPart, payloadPart, foundTwo := strings.Cut(signed, ".")
	if !found || !foundTwo || strings.Contains(payloadPart, ".") {
		return nil, fmt.Errorf("%w: it does not have three parts", ErrInvalid)
	}
	encoding := base64.RawURLEncoding.Strict()
	headerJSON, err := decode(encoding, headerPart)
	if err != nil {
		return nil, err
	}
	j := &JWS{signed: []byte(signed)}
	if j.Header, err = parseHeader(headerJSON); err != nil {
		return nil, err
	}
	if j.Payload, err = decode(encoding, payloadPart); err != nil {
		return nil, err
	}
	if j.signature, err = decode(encoding, signaturePart); err != nil {
		return nil, err
	}
	return j, nil
}

// parseHeader reads names letter by letter, where encoding/json would take ALG for
// alg.
func parseHeader(data []byte) (h Header, err error) {
	members, err := Object(data)
	if err != nil {
		return h, fmt.Errorf("%w: its header is not understood", ErrInvalid)
	}
	if _, critical := members["crit"]; critical {
		return h, fmt.Errorf("%w: its header demands an extension", ErrInvalid)
	}
	for name, to := range map[string]*string{"alg": &h.Alg, "kid": &h.Kid, "typ": &h.Typ} {
		raw, there := members[name]
		if there && (json.Unmarshal(raw, to) != nil || string(raw) == "null") {
			return h, fmt.Errorf("%w: its header is not understood", ErrInvalid)
		}
	}
	if h.Alg == "" {
		return h, fmt.Errorf("%w: its header names no algorithm", ErrInvalid)
	}
	return h, nil
}

// Object reads a JSON object. A name that is there twice is refused: another reader
// might see the other value.
func Object(data []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errors.New("not a JSON object")
		}
		text, ok := name.(string)
		if _, double := members[text]; !ok || double {
			return nil, errors.New("a name is there twice")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errors.New("not a JSON object")
		}
		members[text] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return members, nil
}

// pinned returns the algorithm of the header if it is one of those allowed.
func (j *JWS) pinned(allowed []string) (algorithm, error) {
	if !slices.Contains(allowed, j.Header.Alg) {
		return algorithm{}, fmt.Errorf("%w: its algorithm is not allowed here", ErrInvalid)
	}
	a, ok := lookup(j.Header.Alg)
	if !ok {
		return algorithm{}, fmt.Errorf("%w: its algorithm is not known", ErrInvalid)
	}
	return a, nil
}

// VerifyMAC checks that the holder of a shared secret made the JWS, with one of the
// algorithms allowed.
func (j *JWS) VerifyMAC(secret []byte, allowed []string) error {
	a, err := j.pinned(allowed)
	if err != nil {
		return err
	}
	if _, err := a.mac(secret, nil); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !a.verifyMAC(secret, j.signed, j.signature) {
		return fmt.Errorf("%w: its signature is wrong", ErrInvalid)
	}
	return nil
}

// VerifyNone checks that the JWS says of itself that nobody signed it (RFC 7518,
// section 3.6). What it holds is then worth no more than any parameter.
func (j *JWS) VerifyNone() error {
	if j.Header.Alg != None || len(j.signature) != 0 {
		return fmt.Errorf("%w: it is not an unsigned token", ErrInvalid)
	}
	return nil
}

// Unsigned returns claims as a compact JWS that says of itself that nobody signed it
// (RFC 7518, section 3.6).
func Unsigned(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write an unsigned token: %w", err)
	}
	encoding := base64.RawURLEncoding
	return encoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encoding.EncodeToString(payload) + ".", nil
}

// SignMAC returns claims as a compact JWS signed with a shared secret; typ "" is
// JWT. There is no kid: both sides know the one secret.
func SignMAC(alg, typ string, secret []byte, claims any) (string, error) {
	a, ok := lookup(alg)
	if !ok || a.family != familyMAC {
		return "", fmt.Errorf("sign: %q is no algorithm of a shared secret", alg)
	}
	if typ == "" {
		typ = "JWT"
	}
	if !mediaType(typ) {
		return "", fmt.Errorf("sign: typ %q is no media type", typ)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	encoding := base64.RawURLEncoding
	token := encoding.AppendEncode(nil, []byte(`{"alg":"`+a.name+`","typ":"`+typ+`"}`))
	token = encoding.AppendEncode(append(token, '.'), payload)
	signature, err := a.mac(secret, token)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return string(encoding.AppendEncode(append(token, '.'), signature)), nil
}

package keys

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalid means that a token was not signed by a key of ours, or was changed.
var ErrInvalid = errors.New("not a token signed by a key of this server")

// maxToken is more than any token of ours, with two hundred groups by DN.
const maxToken = 256 << 10

// Sign returns claims as a compact JWS (RFC 7515, section 7.1), signed by the
// active key of alg; typ is the header's typ, "" for JWT.
func (r *Ring) Sign(alg, typ string, claims any) (string, error) {
	v := r.current()
	k := v.active[alg]
	if k == nil {
		return "", fmt.Errorf("sign: there is no %s key", alg)
	}
	if Uncommon(alg) && !slices.Contains(v.algs, alg) {
		r.Publish([]string{alg}) // whoever gets the token has to find the key
	}
	header := k.header
	if typ != "" && typ != "JWT" {
		if !mediaType(typ) {
			return "", fmt.Errorf("sign: typ %q is no media type", typ)
		}
		header = k.encodeHeader(typ)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, len(header)+encoding.EncodedLen(len(payload))+1+encoding.EncodedLen(rsaBits/8))
	token = append(token, header...)
	token = encoding.AppendEncode(token, payload)
	signature, err := k.algorithm.sign(k.private, token)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", k.kid, err)
	}
	token = append(token, '.')
	return string(encoding.AppendEncode(token, signature)), nil
}

// Verify checks a compact JWS and returns its payload. The key is the one that the
// header's kid names, active, next or inactive, and the algorithm that key's own:
// whatever else the header says (jku, jwk, x5c) is not looked at, and crit is
// refused, as no extension is known here. Times and audience are for the caller.
func (r *Ring) Verify(token string) (payload []byte, err error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("%w: it is too long", ErrInvalid)
	}
	signed, signaturePart, _ := cutLast(token)
	headerPart, payloadPart, found := strings.Cut(signed, ".")
	if !found || strings.Contains(payloadPart, ".") {
		return nil, fmt.Errorf("%w: it does not have three parts", ErrInvalid)
	}
	encoding := base64.RawURLEncoding.Strict()
	headerJSON, err := decode(encoding, headerPart)
	if err != nil {
		return nil, err
	}
	var header struct {
		Alg  string          `json:"alg"`
		Kid  string          `json:"kid"`
		Crit json.RawMessage `json:"crit"`
	}
	if err := json.Unmarshal(headerJSON, &header); err != nil {
		return nil, fmt.Errorf("%w: its header is not understood", ErrInvalid)
	}
	k := r.current().byKid[header.Kid]
	if k == nil {
		return nil, fmt.Errorf("%w: its kid is not known", ErrInvalid)
	}
	if header.Alg != k.alg || header.Crit != nil {
		return nil, fmt.Errorf("%w: its header does not fit the key", ErrInvalid)
	}
	signature, err := decode(encoding, signaturePart)
	if err != nil {
		return nil, err
	}
	if !k.algorithm.verify(k.public(), []byte(signed), signature) {
		return nil, fmt.Errorf("%w: its signature is wrong", ErrInvalid)
	}
	return decode(encoding, payloadPart)
}

// mediaType reports whether typ has only characters of a media type, none of which
// JSON would escape.
func mediaType(typ string) bool {
	return strings.Trim(typ, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+./") == ""
}

func cutLast(token string) (before, after string, found bool) {
	if i := strings.LastIndexByte(token, '.'); i >= 0 {
		return token[:i], token[i+1:], true
	}
	return token, "", false
}

// decode reads base64url as RFC 7515, section 2 wants it: the package's decoder
// would skip line breaks, and two texts would be one token.
func decode(encoding *base64.Encoding, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: a part is not base64url", ErrInvalid)
	}
	data, err := encoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: a part is not base64url", ErrInvalid)
	}
	return data, nil
}

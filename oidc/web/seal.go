package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// purpose says what a sealed text may be used for. A text sealed for one purpose
// cannot be opened for another.
type purpose string

const (
	purposeSignIn   purpose = "signin"   // in the form of the sign-in page
	purposeConsent  purpose = "consent"  // in the form of the consent page
	purposeContinue purpose = "continue" // in an address that goes on with a request
	purposePosted   purpose = "posted"   // in the address a cross-site POST is sent on to
	purposeSignOut  purpose = "signout"  // in the form of the sign-out page
	purposePassword purpose = "password" // in the form of the page for a new password
	purposeDevice   purpose = "device"   // in the cookie that says who has signed in here
	purposeUserCode purpose = "usercode" // in the form of the page for another device's code
)

const (
	// maxSealed is the longest sealed text that is opened. The provider takes
	// requests of 8 KiB, which percent-encoding and base64 make longer.
	maxSealed = 40 << 10
	// maxSealedURL is the longest one that is put into an address: proxies take
	// request lines of 8 KiB.
	maxSealedURL = 7 << 10
	// maxPendingAge is how long a page may stay open.
	maxPendingAge = time.Hour

	pendingVersion = 4
)

// errSealed says that a text was not sealed by us, not for this browser, not for
// this purpose, or was changed. Which one is nobody's business.
var errSealed = errors.New("the sealed request cannot be opened")

// sealer encrypts what a page needs to go on, so that it is state and CSRF token
// in one: it needs no row in the database, works on every node, and is of no use
// in another browser.
type sealer struct {
	key []byte
	now func() time.Time
}

// aead returns the cipher for one purpose and one browser. A key of its own for
// each binds the text to both, and keeps the number of random nonces a key far
// below the limit of GCM (NIST SP 800-38D, section 8.3).
func (s *sealer) aead(p purpose, browser string) cipher.AEAD {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "v%d\x00%s\x00%s", pendingVersion, p, browser)
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // the key is always 32 bytes
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES blocks are always 16 bytes
	}
	return gcm
}

// seal returns p's content as text of the base64url alphabet.
func (s *sealer) seal(use purpose, browser string, p pending) string {
	p.sealedAt = s.now()
	sealed := s.aead(use, browser).Seal(nil, nil, p.encode(), nil) //nolint:gosec // the cipher makes its own random nonce
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// open returns what was sealed. What is too old is returned too: expired tells.
func (s *sealer) open(use purpose, browser, text string) (p pending, expired bool, err error) {
	if text == "" || len(text) > maxSealed || strings.ContainsAny(text, "\r\n") { // base64 skips line breaks
		return pending{}, false, errSealed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return pending{}, false, errSealed
	}
	plain, err := s.aead(use, browser).Open(nil, nil, raw, nil)
	if err != nil {
		return pending{}, false, errSealed
	}
	if p, err = decodePending(plain); err != nil {
		return pending{}, false, err
	}
	age := s.now().Sub(p.sealedAt)
	return p, age > maxPendingAge || age < -time.Minute, nil
}

// pending is an authorisation request that waits for its person.
type pending struct {
	form        url.Values
	issuer      string // posted only: whose issuer it was addressed to, "" for the server's
	requestedAt time.Time
	sealedAt    time.Time
	sessionID   string   // consent only: who was asked
	scopes      []string // consent only: for what
	choices     []string // consent only: names of claims that may be withheld
	password    passwordStep
	userCode    string // of the device that asks; form then has the languages only
}

// encode writes each field behind its length.
func (p pending) encode() []byte {
	b := []byte{pendingVersion}
	b = binary.AppendVarint(b, p.sealedAt.UnixMilli())
	b = binary.AppendVarint(b, p.requestedAt.UnixNano())
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(p.form.Encode())
	text(p.issuer)
	text(p.sessionID)
	text(p.userCode)
	b = binary.AppendUvarint(b, uint64(len(p.scopes)))
	for _, s := range p.scopes {
		text(s)
	}
	b = binary.AppendUvarint(b, uint64(len(p.choices)))
	for _, s := range p.choices {
		text(s)
	}
	for _, s := range p.password.texts() {
		text(*s)
	}
	flags := uint64(0)
	for i, set := range p.password.flags() {
		if *set {
			flags |= 1 << i
		}
	}
	return binary.AppendUvarint(b, flags)
}

func decodePending(b []byte) (pending, error) {
	if len(b) == 0 || b[0] != pendingVersion {
		return pending{}, errSealed
	}
	d := decoder{rest: b[1:]}
	p := pending{sealedAt: time.UnixMilli(d.varint()), requestedAt: time.Unix(0, d.varint())}
	encoded := d.text()
	p.issuer = d.text()
	p.sessionID = d.text()
	p.userCode = d.text()
	n := d.uvarint()
	for i := uint64(0); i < n && !d.bad; i++ {
		p.scopes = append(p.scopes, d.text())
	}
	n = d.uvarint()
	for i := uint64(0); i < n && !d.bad; i++ {
		p.choices = append(p.choices, d.text())
	}
	for _, s := range p.password.texts() {
		*s = d.text()
	}
	flags := d.uvarint()
	for i, set := range p.password.flags() {
		*set = flags&(1<<i) != 0
	}
	form, err := url.ParseQuery(encoded)
	if d.bad || len(d.rest) != 0 || err != nil {
		return pending{}, errSealed
	}
	p.form = form
	return p, nil
}

// decoder reads what encode wrote; bad stays set after the first fault.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) text() string {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

package web

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"time"
)

const (
	// deviceLife is how long a browser counts as one where somebody has signed in.
	deviceLife = 90 * 24 * time.Hour
	// devicePeople is how many names it counts for: the latest.
	devicePeople = 4
	// deviceEntry is the size of one of them, in bytes.
	deviceEntry = 2*len(countKey{}) + 8
)

// device is what a browser can show of who has signed in there before. To the
// throttle they are no strangers, so that nobody can keep them out by failing in
// their name. It opens no door: it needs the password like any other, and all its
// tries count.
type device []deviceSignIn

// deviceSignIn is that somebody signed in. The keys are those of the throttle, so
// that the cookie holds nothing about a person, whoever should decrypt it.
type deviceSignIn struct {
	name, person countKey
	at           time.Time // whole seconds
}

// kindFor says what the browser is to the name or person that key stands for.
func (d device) kindFor(key countKey) visitorKind {
	if slices.ContainsFunc(d, func(e deviceSignIn) bool { return e.name == key || e.person == key }) {
		return acquaintance
	}
	return stranger
}

// with returns d with one more sign-in, the latest in front.
func (d device) with(e deviceSignIn) device {
	all := append(device{e}, slices.DeleteFunc(slices.Clone(d), func(o deviceSignIn) bool { return o.name == e.name })...)
	return all[:min(len(all), devicePeople)]
}

func (d device) encode() []byte {
	b := make([]byte, 0, len(d)*deviceEntry)
	for _, e := range d {
		b = append(b, e.name[:]...)
		b = append(b, e.person[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(e.at.Unix())) //nolint:gosec // no sign-in was before 1970
	}
	return b
}

// decodeDevice reads what encode wrote, without what is too old or not of a whole
// entry.
func decodeDevice(b []byte, now time.Time) device {
	var d device
	for ; len(b) >= deviceEntry && len(d) < devicePeople; b = b[deviceEntry:] {
		var e deviceSignIn
		n := copy(e.name[:], b)
		n += copy(e.person[:], b[n:])
		e.at = time.Unix(int64(binary.BigEndian.Uint64(b[n:])), 0) //nolint:gosec // written by encode
		if age := now.Sub(e.at); age >= -time.Minute && age < deviceLife {
			d = append(d, e)
		}
	}
	return d
}

// device returns what the browser shows; nothing if it was not sealed by us.
func (s *Server) device(r *http.Request) device {
	c, err := r.Cookie(s.cookies.name("device"))
	if err != nil || len(c.Value) > 1024 {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(c.Value)
	if err != nil {
		return nil
	}
	plain, err := s.sealer.aead(purposeDevice, "").Open(nil, nil, raw, nil)
	if err != nil {
		return nil
	}
	return decodeDevice(plain, s.now())
}

// rememberDevice lets the browser show from now on that this person has signed in.
func (s *Server) rememberDevice(w http.ResponseWriter, r *http.Request, name, subject string) {
	d := s.device(r).with(deviceSignIn{name: s.throttle.nameKey(name), person: s.throttle.personKey(subject), at: s.now()})
	sealed := s.sealer.aead(purposeDevice, "").Seal(nil, nil, d.encode(), nil) //nolint:gosec // the cipher makes its own random nonce
	s.cookies.write(w, "device", base64.RawURLEncoding.EncodeToString(sealed), int(deviceLife/time.Second))
}

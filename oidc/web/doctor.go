package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DoctorHeader is the header of a request to /readyz by which the command doctor
// asks how requests arrive here. What a proxy sends is nobody else's business, so
// it has to be signed: whoever can sign has the server's secret anyway.
const DoctorHeader = "Gatehouse-Doctor"

// doctorTime is how long a signed question is good for.
const doctorTime = time.Minute

// Seen is how a request arrived.
type Seen struct {
	Peer     string        `json:"peer"`    // the other end of the connection
	Trusted  bool          `json:"trusted"` // it is one of our proxies
	Client   string        `json:"client"`  // who is taken for the browser
	Problems []SeenProblem `json:"problems"`
}

// SeenProblem is what CheckForwarding finds.
type SeenProblem struct {
	Key     string `json:"key"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// SignDoctor returns the value of DoctorHeader for a question asked now.
func SignDoctor(derive func(purpose string, n int) []byte, issuer string, now time.Time) string {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, derive("doctor", 32))
	fmt.Fprintf(mac, "%s\x00%s", issuer, at)
	return at + "." + hex.EncodeToString(mac.Sum(nil))
}

// fromDoctor reports whether a request is the doctor's.
func (s *Server) fromDoctor(r *http.Request) bool {
	value := r.Header.Get(DoctorHeader)
	text, _, found := strings.Cut(value, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil {
		return false
	}
	at := time.Unix(seconds, 0)
	if age := s.now().Sub(at); age > doctorTime || age < -doctorTime {
		return false
	}
	return hmac.Equal([]byte(value), []byte(SignDoctor(s.Derive, s.Issuer, at)))
}

// seen says how a request arrived.
func (s *Server) seen(r *http.Request) *Seen {
	from := resolveRemote(r, s.TrustedProxies)
	seen := &Seen{Peer: name(from.peer), Trusted: from.trusted, Client: name(from.client), Problems: []SeenProblem{}}
	for _, p := range CheckForwarding(s.issuer, s.TrustedProxies, r) {
		seen.Problems = append(seen.Problems, SeenProblem{Key: p.Key, Message: p.Message, Hint: p.Hint})
	}
	return seen
}

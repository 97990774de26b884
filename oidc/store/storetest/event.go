package storetest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"gatehouse/oidc"
)

// Op names what an event tells of.
type Op string

// The operations of Work. Each is told twice: before it begins, and with Done
// once it was acknowledged.
const (
	OpSave         Op = "save"          // Secret: the code
	OpExchange     Op = "exchange"      // Secret: the code; Access and Refresh: what it gives
	OpRotate       Op = "rotate"        // Secret: the refresh token; Access and Refresh: what it gives
	OpRevokeGrant  Op = "revoke"        // Grant only
	OpRevokeAccess Op = "revoke-access" // Secret: the access token
	OpFault        Op = "fault"         // Text: a rule that was seen broken
)

// Event is one line of what a process under load tells of its work. The pipe
// outlives the process, so what was acknowledged is known whatever became of it.
type Event struct {
	Op      Op     `json:"op"`
	Done    bool   `json:"done,omitempty"`
	Grant   string `json:"grant,omitempty"`
	Secret  Hash   `json:"secret,omitzero"`
	Access  Hash   `json:"access,omitzero"`
	Refresh Hash   `json:"refresh,omitzero"`
	Text    string `json:"text,omitempty"`
}

// Hash is an oidc.Hash that is written as hex.
type Hash oidc.Hash

// MarshalText returns h in hex.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash of %d characters", len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// String returns the beginning of h, enough to tell it from others.
func (h Hash) String() string { return hex.EncodeToString(h[:4]) }

// teller writes events, each as one line by one call, so that a kill leaves
// whole lines.
type teller struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *teller) tell(e Event) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // an Event always can be
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.w.Write(append(line, '\n')) // nobody listens any more: the work ends soon
}

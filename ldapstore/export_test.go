package ldapstore

import "time"

// AskRecordsEvery has a Directory ask for SRV records more often. It is for before
// the first call.
func AskRecordsEvery(d *Directory, every time.Duration) { d.roster.every = every }

// Followers returns how many calls wait for another's look-up that has not been
// sent.
func Followers(d *Directory) int {
	d.joins.mu.Lock()
	defer d.joins.mu.Unlock()
	n := 0
	for _, f := range d.joins.open {
		n += f.followers
	}
	return n
}

// Flights returns how many look-ups wait to be sent.
func Flights(d *Directory) int {
	d.joins.mu.Lock()
	defer d.joins.mu.Unlock()
	return len(d.joins.open)
}

// DropConnections has every connection replaced.
func DropConnections(d *Directory) {
	for _, s := range d.roster.list() {
		s.reads.drop()
		s.binds.drop()
	}
}

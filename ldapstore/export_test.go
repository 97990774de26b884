package ldapstore

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

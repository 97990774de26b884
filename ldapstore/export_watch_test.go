package ldapstore

import "time"

// Proven reports whether answers may come from memory.
func Proven(d *Directory) bool { return d.cache.lease.Load().holds(time.Now()) }

// Answers reports whether a person would be answered from memory.
func Answers(d *Directory, id string) bool { return d.cache.get(id) != nil }

// Remembers reports whether a person is in memory, be the stream proven at this
// moment or not.
func Remembers(d *Directory, id string) bool {
	d.cache.mu.RLock()
	defer d.cache.mu.RUnlock()
	return d.cache.people[id] != nil
}

// SettleAtOnce has answers kept that are read right after a change. For servers
// that follow up on a change before they tell of it.
func SettleAtOnce(d *Directory) { d.cache.settle = 0 }

package ldapstore

import "time"

// Proven reports whether answers may come from memory.
func Proven(d *Directory) bool { return d.cache.lease.Load().holds(time.Now()) }

// Remembers reports whether a person would be answered from memory.
func Remembers(d *Directory, id string) bool { return d.cache.get(id) != nil }

// SettleAtOnce has answers kept that are read right after a change. For servers
// that follow up on a change before they tell of it.
func SettleAtOnce(d *Directory) { d.cache.settle = 0 }

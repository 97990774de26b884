package ldapstore_test

import (
	"testing"

	"gatehouse/ldapstore/ldaptest"
)

func BenchmarkLookup(b *testing.B) {
	d := open(b, options(ldaptest.Start(b)))
	id := mustUser(b, d, "bob").ID
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := d.User(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRemembered(b *testing.B) {
	d := watched(b, options(ldaptest.Start(b)), nil)
	id := mustUser(b, d, "bob").ID
	remember(b, d, id)
	b.SetParallelism(8)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := d.User(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	d := open(b, options(ldaptest.Start(b)))
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := d.Authenticate(b.Context(), "bob", ldaptest.Password("bob")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

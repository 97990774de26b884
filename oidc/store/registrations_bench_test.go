package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// BenchmarkRegistrationRevision is what each look-up of a registered client costs.
func BenchmarkRegistrationRevision(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "gatehouse.db"))
	now := time.Now()
	for range 1000 {
		n := store.NewRegistration{OpenLimit: 2000, Registration: oidc.Registration{
			ClientID: oidc.NewID(), Metadata: make([]byte, 2000), CreatedAt: now, ExpiresAt: now.Add(time.Hour), AccessHash: oidc.HashOf(oidc.NewID()),
		}}
		if _, err := s.Register(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
	all, err := s.Registrations(b.Context(), now)
	if err != nil || len(all) != 1000 {
		b.Fatal(len(all), err)
	}
	b.ResetTimer()
	for i := range b.N {
		if _, err := s.RegistrationRevision(b.Context(), all[i%len(all)].ClientID); err != nil {
			b.Fatal(err)
		}
	}
}

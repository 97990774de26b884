package ldapstore_test

import (
	"errors"
	"testing"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func TestAPhotoComesAsItIsInTheDirectory(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	photo := "\xff\xd8\xff\xe0\x00 bytes \xfe of any kind"
	s.Modify(ldaptest.PersonDN("bob"), "jpegPhoto", photo)
	bob, err := d.UserByName(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if bob.First("jpegPhoto") != "" {
		t.Error("a look-up reads photos")
	}
	got, err := d.Photo(t.Context(), bob.ID, "thumbnailPhoto", "jpegPhoto")
	if err != nil || string(got) != photo {
		t.Errorf("%q %v", got, err)
	}
	s.Modify(ldaptest.PersonDN("bob"), "jpegPhoto")
	if _, err := d.Photo(t.Context(), bob.ID, "jpegPhoto"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("a photo that is gone: %v", err)
	}
	if _, err := d.Photo(t.Context(), "00000000-0000-4000-8000-000000000000", "jpegPhoto"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("nobody's photo: %v", err)
	}
	s.Stop()
	if _, err := d.Photo(t.Context(), bob.ID, "jpegPhoto"); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("can't tell: %v", err)
	}
}

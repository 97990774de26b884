package claims

import "gatehouse/oidc"

// memberships finds which of the wanted groups are among groups. The answer has
// one entry a wanted group: the group of the person, or nil.
//
// A person may have a thousand groups, and this runs at every userinfo request.
// Parsing a DN costs a microsecond, so DNs that are plain (nearly all) are
// compared where they lie, and only with those of the same hash.
func memberships(groups []oidc.Group, wanted []oidc.DN) []*oidc.Group {
	if len(wanted) == 0 {
		return nil
	}
	found := make([]*oidc.Group, len(wanted))
	hashes := make([]uint32, len(wanted))
	for j, w := range wanted {
		hashes[j] = keyHash(w.Key())
	}
	for i := range groups {
		group := &groups[i]
		hash, plain := plainDN(group.DN)
		var key string
		if !plain {
			dn, err := oidc.ParseDN(group.DN)
			if err != nil {
				continue // what can't be told apart gives nothing
			}
			key = dn.Key()
			hash = keyHash(key)
		}
		for j, h := range hashes {
			if h != hash || found[j] != nil {
				continue
			}
			want := wanted[j].Key()
			if plain && equalsKey(group.DN, want) || !plain && key == want {
				found[j] = group
			}
		}
	}
	return found
}

// keyHash is FNV-1a. Whoever makes two keys collide gains one comparison.
func keyHash(key string) uint32 {
	hash := uint32(fnvOffset)
	for i := range len(key) {
		hash = (hash ^ uint32(key[i])) * fnvPrime
	}
	return hash
}

const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

// plainDN reports whether the key of a DN is the DN itself in lower case (ASCII,
// no escapes, no quotes, no blanks but single ones within values), and returns
// that key's hash.
func plainDN(dn string) (hash uint32, plain bool) {
	hash = fnvOffset
	inValue := false
	last := byte(',')
	for i := range len(dn) {
		c := dn[i]
		class := dnClass[c]
		switch {
		case class == dnAnywhere:
		case c == '=':
			if inValue || last == ',' {
				return 0, false
			}
			inValue = true
		case c == ',':
			if !inValue || last == ' ' {
				return 0, false
			}
			inValue = false
		case c == ' ':
			if !inValue || last == '=' || last == ' ' {
				return 0, false
			}
		case class == dnNever || !inValue:
			return 0, false
		}
		last = c
		hash = (hash ^ uint32(lower(c))) * fnvPrime
	}
	return hash, inValue && last != ' '
}

const (
	dnAnywhere  = iota // in attribute names and values
	dnValueOnly        // in values
	dnNever            // not in a plain DN
)

var dnClass = func() (class [256]byte) {
	for i := range class {
		c := byte(i)
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			class[i] = dnAnywhere
		case c < ' ', c >= 0x7f, c == '\\', c == '"', c == ';', c == '+':
			class[i] = dnNever
		default:
			class[i] = dnValueOnly
		}
	}
	return class
}()

// equalsKey reports whether a plain DN has this key.
func equalsKey(dn, key string) bool {
	if len(dn) != len(key) {
		return false
	}
	for i := range len(dn) {
		if lower(dn[i]) != key[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

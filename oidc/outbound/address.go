package outbound

import (
	"net/netip"
	"slices"
)

// special are the blocks within the unicast space that lead to no stranger's server
// (the IANA special-purpose address registries, RFC 6890), besides what netip can
// tell by itself.
func special() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// public reports whether an address is one of the public Internet. Of IPv6 that is
// 2000::/3 alone; what embeds an IPv4 address (mapped, NAT64, 6to4, Teredo) is not.
func public(a netip.Addr, special []netip.Prefix) bool {
	switch {
	case !a.IsValid(), a.Zone() != "", a.Is4In6():
		return false
	case a.IsUnspecified(), a.IsLoopback(), a.IsPrivate(), a.IsMulticast(), a.IsLinkLocalUnicast(), !a.IsGlobalUnicast():
		return false
	case a.Is6() && a.As16()[0]>>5 != 1:
		return false
	}
	return !within(a, special)
}

func within(a netip.Addr, blocks []netip.Prefix) bool {
	return slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return b.Contains(a) })
}

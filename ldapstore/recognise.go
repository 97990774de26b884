package ldapstore

import (
	"slices"
	"strings"
)

// rootAttributes are what is read of the root DSE (RFC 4512, section 5.1).
// Operational attributes come only if they are named.
func rootAttributes() []string {
	return []string{
		"objectClass", "structuralObjectClass", "vendorName", "vendorVersion", "serverName", "directoryTreeName",
		"supportedCapabilities", "ipaTopologyPluginVersion", "ipaDomainLevel",
	}
}

// What Active Directory and AD LDS say that they are (MS-ADTS, section
// 3.1.1.3.4.3).
const (
	capabilityAD   = "1.2.840.113556.1.4.800"
	capabilityADLS = "1.2.840.113556.1.4.1851"
)

// recogniseKind says which kind of server a root DSE belongs to.
func recogniseKind(root *entry) string {
	vendor := strings.ToLower(strings.Join(append(root.values("vendorName"), root.values("vendorVersion")...), " "))
	isFrom := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(vendor, name) })
	}
	has := func(attribute, value string) bool {
		return slices.ContainsFunc(root.values(attribute), func(v string) bool { return strings.EqualFold(v, value) })
	}
	switch {
	case has("supportedCapabilities", capabilityAD) || has("supportedCapabilities", capabilityADLS):
		return "ad"
	case len(root.values("ipaTopologyPluginVersion")) > 0 || len(root.values("ipaDomainLevel")) > 0:
		return "freeipa"
	case isFrom("389 project"):
		return "389ds"
	case isFrom("lldap"):
		return "lldap"
	case isFrom("apache software foundation"):
		return "apacheds"
	case isFrom("edirectory", "novell", "netiq") || len(root.values("directoryTreeName")) > 0:
		return "edirectory"
	case has("objectClass", "OpenLDAProotDSE") || has("structuralObjectClass", "OpenLDAProotDSE"):
		return "openldap"
	case vendor == "" && has("serverName", "unknown"): // so much it says of itself
		return "glauth"
	default:
		return "custom"
	}
}

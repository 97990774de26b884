package config

import "time"

// kind is the type of a setting's value.
type kind string

const (
	kindText     kind = "text"
	kindFile     kind = "file"
	kindFolder   kind = "folder"
	kindFlag     kind = "true or false"
	kindNumber   kind = "number"
	kindDuration kind = "duration"
	kindLevel    kind = "level"
	kindList     kind = "list"
	kindLines    kind = "list of texts"
	kindNetworks kind = "list of networks"
	kindSecret   kind = "secret"
	kindClaims   kind = "claim: attributes"
	kindScopes   kind = "group: list of scopes"
)

// What a reload does: what is read again without a restart.
const (
	atStart      = "read at start"
	liveClients  = "read at start; the files in it are read again when they change"
	liveKeys     = "read at start; the keys in it are read again when they change"
	livePassword = "read again when the directory refuses the password"
	liveFile     = "read again when it changes"
)

// setting is one row of the table that reading, checking and the reference
// document are all made from.
type setting struct {
	key         string
	kind        kind
	def         string   // as it would be written, "" for nothing
	defDoc      string   // in words, where def doesn't say it all
	values      []string // allowed values
	least, most int64    // bounds of a number or a duration
	required    bool
	reload      string
	doc         string
}

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	day    = 24 * hour
)

var settings = []setting{
	{key: "issuer", kind: kindText, required: true, reload: atStart, doc: "The address that people and applications reach the server under, such as https://sso.example.org: scheme and host, no path. It is in every token and every application's configuration, so choose it for good. http is for loopback hosts only."},
	{key: "listen", kind: kindText, def: "127.0.0.1:8080", reload: atStart, doc: "The address and port to listen on; `:443` for all addresses."},
	{key: "tls.cert_file", kind: kindFile, reload: atStart, doc: "The server's certificate with its chain in PEM, if no proxy ends TLS."},
	{key: "tls.key_file", kind: kindFile, reload: atStart, doc: "The private key of the certificate in PEM, readable for the server's account alone."},
	{key: "trusted_proxies", kind: kindNetworks, reload: atStart, doc: "Addresses or networks of the proxies before the server. Only they are believed when they say who asks, with X-Forwarded-For, -Proto and -Host. Required without TLS of the server's own, unless issuer and listen are both loopback."},
	{key: "database", kind: kindFile, def: "gatehouse.db", reload: atStart, doc: "The SQLite file that grants and tokens are kept in. It is made if it isn't there; its folder must be."},
	{key: "clients_dir", kind: kindFolder, def: "clients.d", reload: liveClients, doc: "The folder of the [client files](client-files.md)."},
	{key: "keys_dir", kind: kindFolder, def: "keys", reload: liveKeys, doc: "The folder of the signing keys. The first start makes it, and keys in it."},
	{key: "keys.rotate_after", kind: kindDuration, def: "0s", least: 0, most: 3650 * day, reload: atStart, doc: "How long a key signs before the server puts another in its place by itself; 90d is a good choice. The old one goes on verifying as long as anything that it signed can be in use, and is then deleted. Nobody notices, unless an application was given a copy of the keys. Servers that share keys_dir agree among each other; all of them must be allowed to write there. 0s: keys change when you run `gatehouse key rotate`."},
	{key: "keys.publish_before", kind: kindDuration, def: "1d", least: 10 * minute, most: 90 * day, reload: atStart, doc: "How long a key is published before it signs, with keys.rotate_after: longer than any application keeps its copy of the keys. At most half of keys.rotate_after."},
	{key: "templates_dir", kind: kindFolder, reload: atStart, doc: "A folder of page templates and words to use instead of those inside."},
	{key: "static_dir", kind: kindFolder, reload: atStart, doc: "A folder of styles and pictures to use instead of those inside."},
	{key: "log.level", kind: kindLevel, def: "info", values: []string{"debug", "info", "warn", "error"}, reload: atStart, doc: "The least important lines that are logged. Audit lines have the level info."},
	{key: "log.format", kind: kindText, def: "text", values: []string{"text", "json"}, reload: atStart, doc: "How log lines look."},
	{key: "lifespans.code", kind: kindDuration, def: "60s", least: second, most: 10 * minute, reload: atStart, doc: "How long an authorization code can be used. A client file may say otherwise, here and for the next three."},
	{key: "lifespans.access", kind: kindDuration, def: "1h", least: second, most: 7 * day, reload: atStart, doc: "How long an access token lives. The directory is asked whenever one is used, so a long life gives nobody rights that they have lost."},
	{key: "lifespans.id", kind: kindDuration, def: "1h", least: second, most: 7 * day, reload: atStart, doc: "How long an ID token is valid."},
	{key: "lifespans.refresh", kind: kindDuration, def: "30d", least: second, most: 730 * day, reload: atStart, doc: "How long a refresh token lives while it is not used; every use gives a new one."},
	{key: "lifespans.pushed_request", kind: kindDuration, def: "60s", least: 5 * second, most: 10 * minute, reload: atStart, doc: "How long a pushed authorization request (RFC 9126) can be used to begin a sign-in."},
	{key: "lifespans.device_code", kind: kindDuration, def: "10m", least: minute, most: 30 * minute, reload: atStart, doc: "How long a device without a browser waits for somebody to sign in to it (RFC 8628)."},
	{key: "require_pushed_authorization_requests", kind: kindFlag, def: "false", reload: atStart, doc: "Whether every application must push its authorization requests. A client file may demand it of one."},
	{key: "refresh_grace", kind: kindDuration, def: "10s", least: 0, most: 5 * minute, reload: atStart, doc: "How long a used refresh token may be used once more, for applications that lost the answer. After that, and once the new one has been used, a second use ends all tokens of the grant. 0s for never."},
	{key: "default_resource", kind: kindText, defDoc: "a client's audience, else the issuer", reload: atStart, doc: "The resource identifier, such as https://api.example.org, that access tokens are for (their aud) where neither the application (resource, RFC 8707) nor its file (default_resource) names one."},
	{key: "session.idle", kind: kindDuration, def: "8h", least: second, most: 30 * day, reload: atStart, doc: "How long a browser stays signed in without coming back."},
	{key: "session.absolute", kind: kindDuration, def: "12h", least: second, most: 90 * day, reload: atStart, doc: "How long a browser stays signed in at all. Not less than session.idle."},
	{key: "session.remember", kind: kindFlag, def: "false", reload: atStart, doc: "Whether the sign-in page offers to remember the browser."},
	{key: "session.remember_for", kind: kindDuration, def: "30d", least: minute, most: 400 * day, reload: atStart, doc: "How long a remembered browser stays signed in, whatever the two limits above."},
	{key: "throttle.account_failures", kind: kindNumber, def: "4", least: 1, most: 1000, reload: atStart, doc: "How many sign-ins of one account may fail within throttle.window, counted by typed name and by person: several names of one person share them. Then the directory is not asked for a while. The last of them is kept for browsers in which the person has signed in before (for 90 days, by a cookie), so that a stranger who goes on failing in their name doesn't keep them out. Keep it below the directory's own lock-out, and nobody can lock others out by guessing."},
	{key: "throttle.network_failures", kind: kindNumber, def: "100", least: 1, most: 1_000_000, reload: atStart, doc: "How many sign-ins from one address (IPv6: one /64) may fail within throttle.window. Every person who signs in from there raises it, so that an office behind one address isn't kept out."},
	{key: "throttle.window", kind: kindDuration, def: "15m", least: second, most: day, reload: atStart, doc: "How long a failure counts."},
	{key: "throttle.max_wait", kind: kindDuration, def: "1h", least: second, most: 7 * day, reload: atStart, doc: "The longest wait; each further failure doubles it up to here. Not less than throttle.window."},
	{key: "outbound.allow", kind: kindNetworks, reload: atStart, doc: "Addresses or networks that are not on the public Internet and may be asked nevertheless, also by http, when an application names an address there: its jwks_uri, its request_uris. Any other private address is refused, so that no application can look around in your network."},
	{key: "outbound.ca_file", kind: kindFile, reload: atStart, doc: "Further certificate authorities (PEM) that may sign the certificates of such addresses, besides the system's."},
	{key: "local_socket.path", kind: kindFile, defDoc: "none", reload: atStart, doc: "A Unix socket where other programs on this machine can have [tokens made and checked](access-tokens.md#for-other-programs). Whoever may open it can get a token for every person at every application, so it belongs into a folder that only the server's account can write to. Its mode is 0600."},
	{key: "local_socket.group", kind: kindText, defDoc: "none", reload: atStart, doc: "A group of the machine, by name or number, whose members may open the socket, too. Its mode is then 0660."},
	{key: "directory.url", kind: kindList, required: true, reload: atStart, doc: "The servers of the directory, all with the same content; the next is used when one can't be reached. `ldaps://HOST`; `ldap://HOST`, which to another machine needs start_tls; `ldapi://%2Frun%2Fslapd%2Fldapi`, a socket of this machine; `ldaps+srv://DOMAIN` or `ldap+srv://DOMAIN` for the servers that the SRV records of a domain name."},
	{key: "directory.start_tls", kind: kindFlag, def: "false", reload: atStart, doc: "Encrypt ldap:// connections before anything else is said."},
	{key: "directory.ca_file", kind: kindFile, defDoc: "the system's", reload: liveFile, doc: "The certificate authorities (PEM) that may sign the directory's certificate."},
	{key: "directory.client_cert_file", kind: kindFile, reload: liveFile, doc: "A certificate (PEM) to show to the directory. Without directory.bind_dn it is also the account: the directory is told to take it from there (SASL EXTERNAL)."},
	{key: "directory.client_key_file", kind: kindFile, reload: liveFile, doc: "The private key of that certificate (PEM), readable for the server's account alone."},
	{key: "directory.bind_dn", kind: kindText, defDoc: "that of the client certificate or socket, or anonymous", reload: atStart, doc: "The account that reads people and groups. It needs no right to write."},
	{key: "directory.bind_password", kind: kindSecret, reload: atStart, doc: "Its password. Better keep it in a file of its own; here, the configuration file may be readable for the server's account alone."},
	{key: "directory.bind_password_file", kind: kindFile, reload: livePassword, doc: "The file with its password, readable for the server's account alone. One line break at the end doesn't count."},
	{key: "directory.base_dn", kind: kindText, required: true, reload: atStart, doc: "Where people and groups are looked for. May be left out if the next two are both there."},
	{key: "directory.user_base_dn", kind: kindLines, defDoc: "directory.base_dn; in FreeIPA below it", reload: atStart, doc: "Where people are looked for; one place or several. Without it, FreeIPA's are looked for in cn=users,cn=accounts."},
	{key: "directory.group_base_dn", kind: kindLines, defDoc: "directory.base_dn; in FreeIPA below it", reload: atStart, doc: "Where groups are looked for; one place or several. A group elsewhere is none."},
	{key: "directory.kind", kind: kindText, defDoc: "found by asking", values: []string{"openldap", "ad", "389ds", "freeipa", "lldap", "glauth", "apacheds", "edirectory", "custom"}, reload: atStart, doc: "What the directory is. It decides about the filters and attributes below; `gatehouse directory show` prints them. Where it says \"by kind\" an attribute can be left out by writing none. See [Directories](directories.md)."},
	{key: "directory.login_attributes", kind: kindList, defDoc: "by kind", reload: atStart, doc: "The attributes that a typed name is compared with, such as uid and mail. The first one names the person. Whoever types a name that fits two people is refused."},
	{key: "directory.qualified_names", kind: kindText, defDoc: "by kind", values: []string{"true", "false"}, reload: atStart, doc: "Whether EXAMPLE\\alice and alice@example.org are taken for the sAMAccountName alice too, if that is the domain of the directory."},
	{key: "directory.user_filter", kind: kindText, defDoc: "by kind", reload: atStart, doc: "An LDAP filter that says which entries are people."},
	{key: "directory.id_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute with the stable id that becomes sub. A change of it makes everybody a stranger to every application."},
	{key: "directory.id_format", kind: kindText, defDoc: "by id_attribute", values: []string{"text", "uuid", "guid", "octets"}, reload: atStart, doc: "How the id is kept: as text; as text that is a UUID; as 16 bytes in Microsoft's order; as 16 bytes in their own order."},
	{key: "directory.account_rules", kind: kindLines, defDoc: "by kind", reload: atStart, doc: "What says whether an account may be used, each an attribute, a blank and how to read it: `disabled_if:VALUE`, `disabled_by_flag:NUMBER`, `disabled_until_time`, `expired_at_time`, `expired_at_day` (since 1970) or `expired_at_filetime` (Active Directory's)."},
	{key: "directory.password_expiry", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute with the time at which a password ends, for servers that don't look at it when somebody signs in."},
	{key: "directory.group_filter", kind: kindText, defDoc: "by kind", reload: atStart, doc: "An LDAP filter that says which entries are groups."},
	{key: "directory.member_attributes", kind: kindList, defDoc: "by kind", reload: atStart, doc: "The attributes of a group that hold the DNs of its members."},
	{key: "directory.member_name_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute of a group that holds bare names of members, such as memberUid."},
	{key: "directory.member_name_source", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute of a person that such a name is compared with."},
	{key: "directory.member_of_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute of people and groups in which the server keeps the DNs of their groups."},
	{key: "directory.token_groups_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute of a person in which Active Directory works out all groups. With none, nested groups are looked up level by level."},
	{key: "directory.primary_group_source", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute of a person with the number of the primary group, such as gidNumber."},
	{key: "directory.primary_group_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute of a group that such a number is compared with."},
	{key: "directory.entry_dn_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute that can be searched for an entry's own DN, such as entryDN. With none, groups that memberOf names are read one by one."},
	{key: "directory.group_name_attribute", kind: kindText, defDoc: "by kind", reload: atStart, doc: "The attribute that names a group."},
	{key: "directory.group_display_attributes", kind: kindList, defDoc: "by kind", reload: atStart, doc: "The attributes that describe a group to people; the first with a value counts."},
	{key: "directory.ignore_references", kind: kindText, defDoc: "by kind", values: []string{"true", "false"}, reload: atStart, doc: "Whether an answer counts as whole although it names other places to search, as Active Directory's do at the root of a domain. They are never followed."},
	{key: "directory.nested_groups", kind: kindFlag, def: "true", reload: atStart, doc: "Whether members of a group within a group count as members of the outer one."},
	{key: "directory.password_change", kind: kindText, def: "page", values: []string{"page", "off"}, reload: atStart, doc: "What happens to somebody whose password must be changed, or has expired while the directory still lets them in (grace). `page`: they choose a new one on our page, and the directory's own rules decide about it. `off`: they are told to change it elsewhere. The service account needs no further right; people need the usual one to write their own password. Active Directory and 389 DS want an encrypted connection."},
	{key: "directory.password_change_url", kind: kindText, defDoc: "none", reload: atStart, doc: "Your organisation's own page for passwords, https only. People whose password has expired get a link to it where our page can't help, and with password_change: off always."},
	{key: "directory.photo_attributes", kind: kindList, defDoc: "none", reload: atStart, doc: "Attributes that hold a photo, such as [jpegPhoto, thumbnailPhoto], the first with a value first. The picture claim is then an address of this server, another one for each application, where the photo is served as long as the person may be shown to it."},
	{key: "directory.timeout", kind: kindDuration, def: "3s", least: second / 10, most: minute, reload: atStart, doc: "Within this time whoever asks is told that the directory can't be reached. It may itself take five sixths of it for all its answers to one question, or all but half a second."},
	{key: "directory.cache", kind: kindText, def: "off", values: []string{"off", "watch"}, reload: atStart, doc: "`watch`: the server follows what changes in the directory and answers from memory as long as it is proven that no change is missed, otherwise as with off. A change counts within milliseconds, and at the latest within a second; whoever is disabled, deleted or no longer in a group that an application demands loses tokens and sessions at once. See [Watching](watching.md) for what the directory needs, and don't use it where one address stands for several servers (a load balancer). `off`: every question is put to the directory."},
	{key: "directory.pool_size", kind: kindNumber, def: "16", least: 1, most: 1000, reload: atStart, doc: "The most connections for reading, and as many for checking passwords, to each server."},
	{key: "registration.mode", kind: kindText, def: "off", values: []string{"off", "token", "open"}, reload: atStart, doc: "Whether applications may register themselves ([Registration](registration.md)). `token`: with an initial access token that `gatehouse client registration-token create` makes. `open`: anybody, with the limits below. With off, those that have registered before are unknown."},
	{key: "registration.open_limit", kind: kindNumber, def: "100", least: 1, most: 100_000, reload: atStart, doc: "How many applications there may be at a time that registered without a token."},
	{key: "registration.open_lifespan", kind: kindDuration, def: "1h", least: minute, most: 365 * day, reload: atStart, doc: "How long each of them lives. Then it is gone, with all that it was given."},
	{key: "registration.open_rate", kind: kindNumber, def: "20", least: 1, most: 1_000_000, reload: atStart, doc: "How many registrations without a token, and changes of any, one address (IPv6: one /64) may ask for in an hour."},
	{key: "registration.token_lifespan", kind: kindDuration, def: "365d", least: minute, most: 3650 * day, reload: atStart, doc: "How long an application lives that registered with a token; each change by the application begins it anew."},
	{key: "registration.grant_types", kind: kindList, def: "authorization_code,refresh_token", reload: atStart, doc: "The grant types that they may register: those of [client files](client-files.md) but password and jwt-bearer."},
	{key: "registration.response_types", kind: kindLines, def: "code", reload: atStart, doc: "The response types that they may register, such as [code, code id_token]."},
	{key: "registration.require_pkce", kind: kindFlag, def: "false", reload: atStart, doc: "Whether those with a secret must use PKCE, too. Those without always must."},
	{key: "registration.consent", kind: kindText, def: "remembered", values: []string{"explicit", "remembered", "none"}, reload: atStart, doc: "When people are asked before such an application gets their data, as in client files. none goes with mode token only."},
	{key: "registration.logos", kind: kindFlag, def: "false", reload: atStart, doc: "Whether their logos (PNG, JPEG, GIF or WebP of at most 24 KiB) are shown. A logo is fetched when the application registers and kept, so that nobody's browser asks for it; but who can choose a logo can choose that of somebody else."},
	{key: "registration.scopes.everyone", kind: kindList, def: "openid", reload: atStart, doc: "The scopes that such applications get for whoever can sign in."},
	{key: "registration.scopes.groups", kind: kindScopes, defDoc: "none", reload: atStart, doc: "The scopes that they get for the members of a group: the group's distinguished name and a list of scopes, as in client files. To keep applications to a group, give openid here and take it out of everyone."},
	{key: "email_domains", kind: kindList, defDoc: "none", reload: atStart, doc: "Where people have several mail addresses: the domains to take the email claim from, the preferred one first. The others are in alt_emails."},
	{key: "claims", kind: kindClaims, defDoc: "the usual attributes", reload: atStart, doc: "Directory attributes to take claims from instead of the usual ones, the first with a value first; an empty list switches a claim off. Parts of the address are written address.locality and so on; @username is the name of sign-in; email_verified and phone_number_verified also take true and false. A claim of one's own is written like quota: {attributes: [quotaBytes], type: number, scope: quota}; types are string, number, boolean, list, generalized_time and ad_time, which become seconds since 1970; a client gives its scope by its scope maps like any other."},
}

func find(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

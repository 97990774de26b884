package clients

import (
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// Key describes one key of a client file, for help, completion and the
// reference document.
type Key struct {
	Name    string   // dotted, as in lifespans.access
	Type    string   // of the value, in words
	Default string   // in words, "" where leaving it out means nothing
	Values  []string // the allowed values, if they are few
	Doc     string
}

// Keys returns every key of a client file, in the order of the reference.
func Keys() []Key {
	keys := make([]Key, len(fields))
	for i, f := range fields {
		keys[i] = Key{Name: f.key, Type: string(f.kind), Default: f.def, Values: f.values, Doc: f.doc}
	}
	return keys
}

// field is one row of the table that parsing, editing and the reference document
// are all made from.
type field struct {
	key    string
	kind   kind
	def    string
	values []string // allowed values of a text, or of each entry of a list
	doc    string
	sample string // for hints
	// check judges one text or one entry of a list.
	check func(text string) (message, hint string)
	// least and most bound a duration or a number.
	least, most int64
	set         func(d *draft, v value)
}

func (f *field) example() string {
	switch {
	case f.sample != "":
		return f.sample
	case len(f.values) > 0:
		return oneOf(f.values)
	case f.kind == kindNumber:
		return "a whole number"
	}
	return "a " + string(f.kind)
}

// maxAge is the largest default_max_age: 50 years, in seconds.
const maxAge = 50 * 365 * 24 * 3600

// The values that have no type in oidc.
const (
	authBasic  = "client_secret_basic"
	authPost   = "client_secret_post"
	authSecret = "client_secret_jwt"
	authKey    = "private_key_jwt"
	authNone   = "none"

	subjectPublic    = "public"
	subjectPairwise  = "pairwise"
	subjectAttribute = "attribute"
)

var fields = []field{
	{
		key: "client_id", kind: kindText, sample: "an id such as nextcloud", check: idFault,
		doc: "The id that the application sends. 1 to 128 characters of A–Z a–z 0–9 . _ ~ -, the first a letter or digit. The file is named after it: CLIENT_ID.yaml. Required.",
		set: func(d *draft, v value) { d.client.ID = v.text },
	},
	{
		key: "client_name", kind: kindText, def: "the client_id", sample: "a name such as Nextcloud", check: labelFault,
		doc: "What people read on the sign-in and consent pages.",
		set: func(d *draft, v value) { d.client.Name = v.text },
	},
	{
		key: "client_secret_hash", kind: kindText, sample: "sha256: and 64 hex digits", check: hashFault,
		doc: "The hash of the client's secret, never the secret: `sha256:` and 64 hex digits for a secret that Gatehouse made; bcrypt, PBKDF2 or Argon2id in crypt form for one brought from elsewhere. Required unless token_endpoint_auth_method is none or private_key_jwt.",
		set: func(d *draft, v value) { d.client.SecretHash = v.text },
	},
	{
		key: "client_secret_sealed", kind: kindText, sample: "what gatehouse client reset-secret writes", check: sealedFault,
		doc: "The client's secret, encrypted with a key of this server's, for clients that sign with it: client_secret_jwt and the algorithms HS256 to HS512. Written by `client create` and `client reset-secret`; nobody else can make one.",
		set: func(d *draft, v value) { d.client.SecretSealed = v.text },
	},
	{
		key: "redirect_uris", kind: kindList, sample: "a list such as [https://app.example.org/callback]",
		doc: "Where a browser may be sent with a code; compared character by character. https; http to localhost or a loopback address only; for public clients also a scheme of the app's own with a dot in it. No fragment, user or wildcard. Required with the grant types authorization_code and implicit.",
		set: func(d *draft, v value) { d.redirects = v.items; d.client.RedirectURIs = texts(v.items) },
	},
	{
		key: "post_logout_redirect_uris", kind: kindList, sample: "a list such as [https://app.example.org/]",
		doc: "Where a browser may be sent after signing out. The same rules as for redirect_uris.",
		set: func(d *draft, v value) { d.logouts = v.items; d.client.PostLogoutRedirectURIs = texts(v.items) },
	},
	{
		key: "grant_types", kind: kindList, def: "[authorization_code]", values: []string{grantCode, grantRefresh, grantClient, grantImplicit, grantDevice, grantJWTBearer, grantPassword},
		doc: "How the client may get tokens. With refresh_token it gets a refresh token when it asks for the scope offline_access. The one that ends in device_code is for devices without a browser: people sign in to them on their phone (RFC 8628). The one that ends in jwt-bearer is for programs that act for people by the word of assertion_issuers (RFC 7523). password lets the application take people's passwords itself; `client set` asks you to mean it. docs/grants.md tells more.",
		set: func(d *draft, v value) { d.client.GrantTypes = texts(v.items) },
	},
	{
		key: "response_types", kind: kindList, def: "[code]",
		values: []string{"code", "id_token", "id_token token", "token", "code id_token", "code token", "code id_token token"},
		doc:    "What the client may ask the authorization endpoint for. All but code need the grant type implicit, and lead tokens through the browser: for applications that know nothing newer.",
		set:    func(d *draft, v value) { d.client.ResponseTypes = texts(v.items) },
	},
	{
		key: "response_modes", kind: kindList, def: "[query, form_post] where the only response type is code, else all", values: []string{"query", "fragment", "form_post"},
		doc: "How the client may ask to be answered. Name fragment beside code alone only for an application that reads its code there: in any other, a link that somebody made leaves the code behind in the address.",
		set: func(d *draft, v value) { d.client.ResponseModes = texts(v.items) },
	},
	{
		key: "token_endpoint_auth_method", kind: kindText, def: authBasic, values: []string{authBasic, authPost, authSecret, authKey, authNone},
		doc: "How the client proves who it is; one registered for basic or post may use either. client_secret_jwt signs with the secret, private_key_jwt with a key of the application's own, which jwks or jwks_uri tells (RFC 7523). none makes it a public client: an app in a browser or on a device, which can't keep a secret.",
		set: func(d *draft, v value) { d.client.TokenEndpointAuthMethod = v.text },
	},
	{
		key: "token_endpoint_auth_signing_alg", kind: kindText, def: "any that fits", values: signingAlgorithms(),
		doc: "The one algorithm that the client's assertions must be signed with, for client_secret_jwt and private_key_jwt.",
		set: func(d *draft, v value) { d.client.TokenEndpointAuthSigningAlg = v.text },
	},
	{
		key: "strict_assertion_audience", kind: kindFlag, def: "false",
		doc: "Whether the audience of the client's assertions must be the issuer alone, as a single text, as FAPI 2.0 has it. Without it the addresses of the endpoints do, too.",
		set: func(d *draft, v value) { d.client.StrictAssertionAudience = v.flag },
	},
	{
		key: "jwks", kind: kindObject, sample: "a JWK Set such as {keys: [{kty: EC, …}]}",
		doc: "The application's public keys as a JWK Set (RFC 7517), in YAML or JSON. Its assertions and request objects are verified with them.",
		set: (*draft).setJWKS,
	},
	{
		key: "jwks_uri", kind: kindText, sample: "an https address", check: fetchFault,
		doc: "The address of the application's JWK Set, instead of jwks. It is fetched when it is needed, kept for an hour, and fetched again when a key is not in it. Addresses within private networks need `outbound.allow`.",
		set: func(d *draft, v value) { d.client.JWKSURI = v.text },
	},
	{
		key: "assertion_issuers", kind: kindObject, sample: "an object such as {https://ci.example.org: {jwks_uri: https://ci.example.org/jwks, subject: name}}",
		doc: "Whose signed word the client may bring in the place of a person, for the grant type jwt-bearer: the iss of the assertions, and beneath it `jwks` or `jwks_uri`, the keys that sign them, and `subject`, what their sub names: `id`, the directory's stable id; `name`, what people type at sign-in; or an attribute that is unique. Whoever has such a key can act for everybody whom the client's maps let in.",
		set: (*draft).setAssertionIssuers,
	},
	{
		key: "request_object_signing_alg", kind: kindText, def: "any but none", values: append(signingAlgorithms(), keys.None),
		doc: "The one algorithm that request objects must be signed with (OpenID Connect Core 1.0, section 6; RFC 9101). none takes unsigned ones.",
		set: func(d *draft, v value) { d.client.RequestObjectSigningAlg = v.text },
	},
	{
		key: "request_uris", kind: kindList, sample: "a list such as [https://app.example.org/request.jwt]", check: requestURIFault,
		doc: "Where request objects may be fetched from, compared character by character; a fragment that is the SHA-256 of the content in base64url is compared with it. Addresses within private networks need `outbound.allow`.",
		set: func(d *draft, v value) { d.client.RequestURIs = texts(v.items) },
	},
	{
		key: "require_signed_request_object", kind: kindFlag, def: "false",
		doc: "Whether the application must send its authorization requests as signed request objects with iss, aud and exp (RFC 9101). What stands beside one is then ignored.",
		set: func(d *draft, v value) { d.client.RequireSignedRequestObject = v.flag },
	},
	{
		key: "require_pushed_authorization_requests", kind: kindFlag, def: "the server's",
		doc: "Whether the application must push its authorization requests (RFC 9126).",
		set: func(d *draft, v value) { d.client.RequirePushedAuthorizationRequests = v.flag },
	},
	{
		key: "audience", kind: kindList, sample: "a list such as [https://api.example.org]", check: audienceFault,
		doc: "Resource identifiers or client ids that the client's access tokens may be for. The application asks for some of them by the parameter resource (RFC 8707); see default_resource for what happens if it doesn't.",
		set: func(d *draft, v value) { d.client.Audience = texts(v.items) },
	},
	{
		key: "default_resource", kind: kindText, def: "the server's, else all of audience, else the issuer", sample: "a resource identifier such as https://api.example.org", check: audienceFault,
		doc: "What access tokens are for (their aud) where the application asks for no resource. With the scope openid they are for this server's userinfo, too.",
		set: func(d *draft, v value) { d.client.DefaultResource = v.text },
	},
	{
		key: "resource_identifiers", kind: kindList, sample: "a list such as [https://api.example.org]", check: audienceFault,
		doc: "What the client is itself called by others, if it is an API that takes access tokens: introspection shows it tokens that are for one of these or for its client_id, and its own; of any other it learns only that it is not active.",
		set: func(d *draft, v value) { d.client.ResourceIdentifiers = texts(v.items) },
	},
	{
		key: "client_uri", kind: kindText, sample: "an https address", check: pageFault,
		doc: "The application's own page.",
		set: func(d *draft, v value) { d.client.ClientURI = v.text },
	},
	{
		key: "logo_uri", kind: kindText, sample: "an https address", check: pageFault,
		doc: "A picture shown on the sign-in and consent pages.",
		set: func(d *draft, v value) { d.client.LogoURI = v.text },
	},
	{
		key: "policy_uri", kind: kindText, sample: "an https address", check: pageFault,
		doc: "The application's privacy policy, linked on the sign-in and consent pages.",
		set: func(d *draft, v value) { d.client.PolicyURI = v.text },
	},
	{
		key: "tos_uri", kind: kindText, sample: "an https address", check: pageFault,
		doc: "The application's terms of service, linked on the sign-in and consent pages.",
		set: func(d *draft, v value) { d.client.TosURI = v.text },
	},
	{
		key: "contacts", kind: kindList, sample: "a list such as [admin@example.org]", check: labelFault,
		doc: "Whom to ask about the application, mostly mail addresses.",
		set: func(d *draft, v value) { d.client.Contacts = texts(v.items) },
	},
	{
		key: "software_id", kind: kindText, sample: "an id", check: labelFault,
		doc: "An id of the software, the same for all its installations.",
		set: func(d *draft, v value) { d.client.SoftwareID = v.text },
	},
	{
		key: "software_version", kind: kindText, sample: "a version", check: labelFault,
		doc: "The version of the software.",
		set: func(d *draft, v value) { d.client.SoftwareVersion = v.text },
	},
	{
		key: "consent", kind: kindText, def: string(oidc.ConsentRemembered),
		values: []string{string(oidc.ConsentExplicit), string(oidc.ConsentRemembered), string(oidc.ConsentNone)},
		doc:    "When people are asked before the application gets their data: explicit, every time; remembered, once and again when it asks for more; none, never, for applications of the organisation itself.",
		set:    func(d *draft, v value) { d.client.Consent = oidc.Consent(v.text) },
	},
	{
		key: "require_pkce", kind: kindFlag, def: "true",
		doc: "Whether the application must use PKCE with S256. Without it, a code that leaks can be used by whoever finds it; public clients can't go without.",
		set: func(d *draft, v value) { d.client.RequirePKCE = v.flag },
	},
	{
		key: "on_missing_scope", kind: kindText, def: string(oidc.MissingRefuse),
		values: []string{string(oidc.MissingRefuse), string(oidc.MissingNarrow)},
		doc:    "What happens when the application asks for a scope that the person doesn't have: refuse the sign-in, or narrow and go on with the others, for applications that always ask for too much.",
		set:    func(d *draft, v value) { d.client.OnMissingScope = oidc.OnMissingScope(v.text) },
	},
	{
		key: "allowed_groups", kind: kindList, sample: "a list such as [\"cn=staff,ou=groups,dc=example,dc=org\"]",
		doc: "Distinguished names of groups. If there are any, only members of one of them may use the application.",
		set: (*draft).setAllowedGroups,
	},
	{
		key: "scopes.everyone", kind: kindList, sample: "a list such as [openid]", check: scopeFault,
		doc: "Scopes for whoever can sign in.",
		set: func(d *draft, v value) { d.client.Scopes.Everyone = texts(v.items) },
	},
	{
		key: "scopes.groups", kind: kindMaps,
		doc: "Scopes for the members of a group: the group's distinguished name and a list of scopes. Several groups add up. An application that always asks for a scope which one group alone has is for that group alone.",
		set: (*draft).setScopeGroups,
	},
	{
		key: "groups_claim.format", kind: kindText, def: "name", values: []string{"name", "dn", "id", "display_name"},
		doc: "How groups look in the groups and roles claims.",
		set: func(d *draft, v value) { d.client.GroupsClaim.Format = v.text },
	},
	{
		key: "groups_claim.match", kind: kindText, def: "all groups", sample: "a regular expression such as ^cloud-", check: patternFault,
		doc: "A regular expression (RE2) that a group's value must match to be in the claims.",
		set: func(d *draft, v value) { d.client.GroupsClaim.Match = v.text },
	},
	{
		key: "groups_claim.max", kind: kindNumber, def: "200", least: 1, most: 5000,
		doc: "The most groups that are put into a claim.",
		set: func(d *draft, v value) { d.client.GroupsClaim.Max = v.number },
	},
	{
		key: "withholdable_claims", kind: kindList, def: "none", values: []string{"picture", "address", "phone_number", "website"},
		doc: "What people may keep from the application although its scopes give it: the consent page lets them choose. Their choice is remembered with the consent, by the names of the claims alone; where consent is none, nobody is asked and nothing is kept back.",
		set: func(d *draft, v value) { d.client.WithholdableClaims = texts(v.items) },
	},
	{
		key: "claims_in_id_token", kind: kindFlag, def: "false",
		doc: "Whether the claims of the granted scopes are in the ID token, too, for applications that never ask userinfo.",
		set: func(d *draft, v value) { d.client.ClaimsInIDToken = v.flag },
	},
	{
		key: "subject_type", kind: kindText, def: subjectPublic, values: []string{subjectPublic, subjectPairwise, subjectAttribute},
		doc: "What sub is: public, the directory's stable id of the person; pairwise, an id that only applications on the same host, or with the same sector_identifier_uri, share; attribute, the value of subject_attribute, which a rename may change.",
		set: func(d *draft, v value) { d.client.SubjectType = v.text },
	},
	{
		key: "subject_attribute", kind: kindText, sample: "an attribute such as uid", check: attributeFault,
		doc: "The directory attribute that sub is taken from where subject_type is attribute.",
		set: func(d *draft, v value) { d.client.SubjectAttribute = v.text },
	},
	{
		key: "sector_identifier_uri", kind: kindText, sample: "an https address", check: httpsFault,
		doc: "The address of a JSON list of the redirect_uris of all applications that know people by the same pairwise ids; its host is what ids are bound to (OpenID Connect Core 1.0, section 8.1). Needed for pairwise where redirect_uris are on several hosts. It is fetched when an application registers itself and by `gatehouse check --live`, not at a sign-in. A change of its host makes everybody a stranger to the application.",
		set: func(d *draft, v value) { d.client.SectorIdentifierURI = v.text },
	},
	{
		key: "default_max_age", kind: kindNumber, def: "any age", least: 0, most: maxAge,
		doc: "How old a sign-in may be, in seconds, where the application doesn't say max_age. 0 asks for the password every time.",
		set: func(d *draft, v value) { age := time.Duration(v.number) * time.Second; d.client.DefaultMaxAge = &age },
	},
	{
		key: "default_acr_values", kind: kindList, sample: "a list of acr values", check: scopeFault,
		doc: "The acr values that are asked for where the application doesn't say acr_values.",
		set: func(d *draft, v value) { d.client.DefaultACRValues = texts(v.items) },
	},
	{
		key: "require_auth_time", kind: kindFlag, def: "false",
		doc: "Whether ID tokens must hold auth_time. They always do.",
		set: func(d *draft, v value) { d.client.RequireAuthTime = v.flag },
	},
	{
		key: "initiate_login_uri", kind: kindText, sample: "an https address", check: httpsFault,
		doc: "The address at which the application begins a sign-in that was begun elsewhere (OpenID Connect Core 1.0, section 4). `/login/CLIENT_ID` then leads there, for a link on a page of yours.",
		set: func(d *draft, v value) { d.client.InitiateLoginURI = v.text },
	},
	{
		key: "allowed_cors_origins", kind: kindList, sample: "a list such as [https://app.example.org]", check: originFault,
		doc: "Origins whose scripts may ask the token, userinfo, revocation and pushed authorization endpoints, beside those of the redirect_uris.",
		set: func(d *draft, v value) { d.client.AllowedCORSOrigins = texts(v.items) },
	},
	{
		key: "id_token_signed_response_alg", kind: kindText, def: keys.ES256, values: append(signingAlgorithms(), keys.None),
		doc: "How ID tokens are signed. RS256 for applications that know nothing newer; HS256 to HS512 sign with the client's secret; all others but ES256 need a key that `gatehouse key create` makes. none leaves them unsigned, for an application of the code flow alone that can't do better: it then trusts its connection to the token endpoint. none is not announced to anybody.",
		set: func(d *draft, v value) { d.client.IDTokenSignedResponseAlg = v.text },
	},
	{
		key: "userinfo_signed_response_alg", kind: kindText, def: "none: userinfo is JSON", values: signingAlgorithms(),
		doc: "Makes the answers of userinfo JWTs, signed like this, with iss and aud (OpenID Connect Core 1.0, section 5.3.2). The keys are those for ID tokens.",
		set: func(d *draft, v value) { d.client.UserInfoSignedResponseAlg = v.text },
	},
	{
		key: "own_issuer", kind: kindFlag, def: "false",
		doc: "Whether the client has an issuer of its own, ISSUER/oauth2/openid/CLIENT_ID, with discovery, endpoints and keys beneath it. Then nothing that was made for it is worth anything at another application, nor the other way round, and its keys can be replaced without anybody else noticing. It is answered at these addresses alone, so the application has to be set up anew when this is changed. People still sign in once for all applications.",
		set: func(d *draft, v value) { d.client.OwnIssuer = v.flag },
	},
	{
		key: "access_token_signed_response_alg", kind: kindText, def: "none: access tokens are opaque", values: signingAlgorithms(),
		doc: "Makes the client's access tokens JWTs (RFC 9068), signed like this, which an API can check by itself: with typ at+jwt, iss, aud, sub, client_id, scope, and groups and roles where the scopes of these names are granted. An API that checks by itself learns of a loss of rights only with the next token, so give them a short life (lifespans.access); introspection and userinfo stay live. RS256 is what every such API must know. The keys are those for ID tokens.",
		set: func(d *draft, v value) { d.client.AccessTokenSignedResponseAlg = v.text },
	},
	{
		key: "lifespans.code", kind: kindDuration, def: "the server's", least: int64(time.Second), most: int64(10 * time.Minute),
		doc: "How long an authorization code can be used.",
		set: func(d *draft, v value) { d.client.Lifespans.Code = v.span },
	},
	{
		key: "lifespans.access", kind: kindDuration, def: "the server's", least: int64(time.Second), most: int64(7 * 24 * time.Hour),
		doc: "How long an access token lives.",
		set: func(d *draft, v value) { d.client.Lifespans.Access = v.span },
	},
	{
		key: "lifespans.id", kind: kindDuration, def: "the server's", least: int64(time.Second), most: int64(7 * 24 * time.Hour),
		doc: "How long an ID token is valid.",
		set: func(d *draft, v value) { d.client.Lifespans.ID = v.span },
	},
	{
		key: "lifespans.refresh", kind: kindDuration, def: "the server's", least: int64(time.Second), most: int64(2 * 365 * 24 * time.Hour),
		doc: "How long a refresh token lives while it is not used; every use gives a new one.",
		set: func(d *draft, v value) { d.client.Lifespans.Refresh = v.span },
	},
}

func texts(items []item) []string {
	if len(items) == 0 {
		return nil
	}
	t := make([]string, len(items))
	for i, it := range items {
		t[i] = it.text
	}
	return t
}

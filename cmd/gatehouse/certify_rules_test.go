package main

// certifyRules is the table of all rules. The OpenID Foundation's conformance suite
// decides which ones there are: a module of its plans is one row or several.
func certifyRules() []rule {
	all := flowTypes()
	return []rule{
		{
			id: "response", section: "OpenID Connect Core 1.0, sections 3.1.3.7, 3.2.2.11, 3.3.2.12; RFC 9207", types: all, check: certEverything,
			shows: "A person signs in, and the client gets what response_type names and nothing else: ID tokens that verify, at_hash and c_hash, state and iss.",
		},
		{
			id: "response-type-missing", section: "RFC 6749, section 3.1.1", types: all, check: certTypeMissing,
			shows: "A request without response_type is answered with invalid_request.",
		},
		{
			id: "id-token-signature", section: "OpenID Connect Core 1.0, sections 3.1.3.7 and 10.1", types: all, check: certSignature,
			shows: "ID tokens are signed with RS256 where the client asks for it, by a key of jwks_uri that kid names; a changed one does not verify.",
		},
		{
			id: "userinfo-get", section: "OpenID Connect Core 1.0, section 5.3.1", types: typesAccess(), check: certUserinfoGet,
			shows: "userinfo answers GET with the access token in the header; its sub is that of the ID token.",
		},
		{
			id: "userinfo-post-header", section: "OpenID Connect Core 1.0, section 5.3.1", types: typesAccess(), check: certUserinfoPostHeader,
			shows: "userinfo answers POST with the access token in the header.",
		},
		{
			id: "userinfo-post-body", section: "RFC 6750, section 2.2", types: typesAccess(), check: certUserinfoPostBody,
			shows: "userinfo answers POST with the access token in the body.",
		},
		{
			id: "nonce-missing", section: "OpenID Connect Core 1.0, sections 3.1.2.1, 3.2.2.1 and 3.3.2.11", types: all, check: certNonceMissing,
			shows: "Without a nonce there is no ID token from the authorization endpoint; where that gives none, the request succeeds.",
		},
		{
			id: "scope-openid", section: "OpenID Connect Core 1.0, section 5.4", types: all, check: certScopeNone,
			shows: "scope=openid alone says nothing about the person but sub, in ID token and userinfo.",
		},
		{
			id: "scope-profile", section: "OpenID Connect Core 1.0, sections 5.1 and 5.4", types: all, check: certScopeProfile,
			shows: "scope=profile yields all fourteen claims that the directory has, updated_at as a number, in userinfo; in the ID token only where there is no access token.",
		},
		{
			id: "scope-email", section: "OpenID Connect Core 1.0, sections 5.1 and 5.4", types: all, check: certScopeEmail,
			shows: "scope=email yields email and email_verified, a boolean.",
		},
		{
			id: "scope-address", section: "OpenID Connect Core 1.0, sections 5.1.1 and 5.4", types: all, check: certScopeAddress,
			shows: "scope=address yields the address, an object.",
		},
		{
			id: "scope-phone", section: "OpenID Connect Core 1.0, sections 5.1 and 5.4", types: all, check: certScopePhone,
			shows: "scope=phone yields phone_number and phone_number_verified, a boolean.",
		},
		{
			id: "scope-all", section: "OpenID Connect Core 1.0, section 5.4", types: all, check: certScopeAll,
			shows: "All scopes at once yield all of their claims.",
		},
		{
			id: "scope-order", section: "RFC 6749, section 3.3", types: all, check: certScopeOrder,
			shows: "The order of scopes does not matter.",
		},
		{
			id: "display", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certDisplay,
			shows: "Every value of display is taken.",
		},
		{
			id: "prompt-login", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, later: true, check: certPromptLogin,
			shows: "prompt=login asks for a new sign-in, and auth_time is that of the new one.",
		},
		{
			id: "prompt-none-stranger", section: "OpenID Connect Core 1.0, sections 3.1.2.1 and 3.1.2.6", types: all, check: certPromptNoneStranger,
			shows: "prompt=none without a session is answered with login_required.",
		},
		{
			id: "prompt-none", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certPromptNoneKnown,
			shows: "prompt=none with a session is answered without a page; sub and auth_time stay.",
		},
		{
			id: "prompt-select-account", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certPromptSelect,
			shows: "prompt=select_account lets another person sign in.",
		},
		{
			id: "prompt-consent", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certPromptConsent,
			shows: "prompt=consent asks for consent although it would not be needed; who says no is answered with access_denied.",
		},
		{
			id: "prompt-refused", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certPromptOdd,
			shows: "prompt=create, unknown values, and none with another value are answered with invalid_request.",
		},
		{
			id: "max-age-1", section: "OpenID Connect Core 1.0, sections 2 and 3.1.2.1", types: all, later: true, check: certMaxAgeShort,
			shows: "max_age=1 two seconds after a sign-in asks for a new one; auth_time is there, and later.",
		},
		{
			id: "max-age-10000", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, later: true, check: certMaxAgeLong,
			shows: "max_age=10000 keeps the session, and its auth_time.",
		},
		{
			id: "max-age-0", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certMaxAgeZero,
			shows: "max_age=0 means prompt=login, and login_required with prompt=none.",
		},
		{
			id: "unknown-parameter", section: "RFC 6749, section 3.1", types: all, check: certUnknownParameter,
			shows: "Parameters that nobody knows are ignored.",
		},
		{
			id: "id-token-hint", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certHint,
			shows: "With id_token_hint and prompt=none the person of the hint is answered for, and nobody else; a hint that is not ours is refused.",
		},
		{
			id: "id-token-hint-expired", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, later: true, check: certHintExpired,
			shows: "An ID token that has expired still is a hint.",
		},
		{
			id: "login-hint", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certLoginHint,
			shows: "login_hint is the name that the sign-in page starts with.",
		},
		{
			id: "ui-locales", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certUILocales,
			shows: "ui_locales choose the language of the pages; unknown ones do no harm.",
		},
		{
			id: "claims-locales", section: "OpenID Connect Core 1.0, section 5.2", types: all, check: certClaimsLocales,
			shows: "claims_locales do no harm: the directory has its values in one language.",
		},
		{
			id: "acr-values", section: "OpenID Connect Core 1.0, sections 2 and 3.1.2.1", types: all, check: certACRValues,
			shows: "acr is one of those asked for if it is true, and absent else.",
		},
		{
			id: "claims-essential", section: "OpenID Connect Core 1.0, sections 5.5 and 5.5.1", types: all, check: certClaimsEssential,
			shows: "A claim asked for as essential is given where it was asked for, without its scope's others; unknown ones are ignored.",
		},
		{
			id: "claims-id-token", section: "OpenID Connect Core 1.0, section 5.5", types: all, check: certClaimsInIDToken,
			shows: "Claims asked for in the ID token are in every ID token.",
		},
		{
			id: "claims-sub", section: "OpenID Connect Core 1.0, section 5.5.1", types: all, check: certClaimsSub,
			shows: "A sub asked for by value is answered for, and nobody else.",
		},
		{
			id: "claims-acr", section: "OpenID Connect Core 1.0, section 5.5.1.1", types: all, check: certClaimsACR,
			shows: "An essential acr that cannot be had ends the request.",
		},
		{
			id: "code-reuse", section: "RFC 6749, section 4.1.2", types: typesWith("code"), check: certCodeReuse,
			shows: "A code used twice gives invalid_grant, and what it gave dies: access tokens of the authorization endpoint too.",
		},
		{
			id: "code-reuse-later", section: "RFC 6749, section 4.1.2", types: typesWith("code"), later: true, check: certCodeReuseLater,
			shows: "So it does after 31 seconds.",
		},
		{
			id: "redirect-uri-unknown", section: "OpenID Connect Core 1.0, section 3.1.2.1; RFC 6749, section 3.1.2.4", types: all, check: certRedirectUnknown,
			shows: "A redirect_uri that is not registered gets a page of ours, never a redirect.",
		},
		{
			id: "redirect-uri-missing", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, profiles: []string{profileDynamic}, check: certRedirectMissing,
			shows: "So does a request without redirect_uri.",
		},
		{
			id: "request-by-post", section: "OpenID Connect Core 1.0, section 3.1.2.1", types: all, check: certPostRequest,
			shows: "A request is taken by POST, and by POST from another site, to which browsers bring no cookies.",
		},
		{
			id: "client-secret-post", section: "RFC 6749, section 2.3.1", types: typesWith("code"), check: certSecretPost,
			shows: "A client may send its secret in the body.",
		},
		{
			id: "pkce", section: "RFC 7636, section 4.6", types: typesWith("code"), check: certPKCE,
			shows: "A code with a challenge is taken with its verifier only; another or none costs nothing.",
		},
		{
			id: "request-object-unsigned", section: "OpenID Connect Core 1.0, section 6.1", types: all, check: certObjectUnsigned,
			shows: "An unsigned request object of a client that registered none is taken; what is in it wins.",
		},
		{
			id: "request-object-none", section: "RFC 9101, section 10.2", types: all, check: certObjectUnsignedElsewhere,
			shows: "An unsigned request object of any other client is refused.",
		},
		{
			id: "request-object-redirect-uri", section: "OpenID Connect Core 1.0, section 6.1", types: all, profiles: []string{profileDynamic}, check: certObjectRedirect,
			shows: "The redirect_uri in a request object is the one that counts, and must be registered.",
		},
		{
			id: "request-object-signed", section: "OpenID Connect Core 1.0, section 6.1; RFC 9101, section 6.2", types: all, check: certObjectSigned,
			shows: "A request object is taken that is signed by a key of the client's jwks_uri.",
		},
		{
			id: "request-uri-unsigned", section: "OpenID Connect Core 1.0, section 6.2", types: all, profiles: []string{profileDynamic}, check: certObjectByURI,
			shows: "A request object is fetched from a request_uri that is registered, and from no other.",
		},
		{
			id: "request-uri-signed", section: "OpenID Connect Core 1.0, section 6.2", types: all, profiles: []string{profileDynamic}, check: certObjectSignedByURI,
			shows: "So is one that is signed with RS256.",
		},
		{
			id: "refresh-token", section: "OpenID Connect Core 1.0, section 12; RFC 6749, sections 6 and 10.4; RFC 9700, section 4.14.2", types: typesWith("code"), check: certRefresh,
			shows: "A refresh token is its client's alone, gives a new one and an ID token with the old auth_time, may be narrowed and not widened; used twice, it ends its family.",
		},
		{
			id: "errors", section: "RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6", types: all, check: certErrorsHoldLittle,
			shows: "Errors carry error, error_description, state and iss, and nothing else.",
		},
		{
			id: "redirect-uri-query", section: "RFC 6749, section 3.1.2", profiles: []string{profileDynamic}, check: certRedirectQuery,
			shows: "A redirect_uri with a query of its own keeps it, letter by letter.",
		},
		{
			id: "redirect-uri-query-mismatch", section: "OpenID Connect Core 1.0, section 3.1.2.1", profiles: []string{profileDynamic}, check: certRedirectQueryMismatch,
			shows: "That query must match exactly.",
		},
		{
			id: "redirect-uri-query-added", section: "OpenID Connect Core 1.0, section 3.1.2.1", profiles: []string{profileDynamic}, check: certRedirectQueryAdded,
			shows: "No query may be added to a redirect_uri that has none.",
		},

		{
			id: "discovery", section: "OpenID Connect Discovery 1.0, sections 3 and 4; OpenID Connect Core 1.0, section 15.2", profiles: []string{profileConfig, profileDynamic}, check: certDiscovery,
			shows: "The metadata are JSON, name the issuer by which they were found, and list every response type, algorithm, scope and claim.",
		},
		{
			id: "discovery-endpoints", section: "OpenID Connect Discovery 1.0, section 3", profiles: []string{profileConfig, profileDynamic}, check: certEndpoints,
			shows: "Every endpoint of the metadata is beneath the issuer and answers.",
		},
		{
			id: "discovery-keys", section: "OpenID Connect Discovery 1.0, section 3; RFC 7517, section 4; RFC 7518, section 6", profiles: []string{profileConfig, profileDynamic}, check: certKeys,
			shows: "jwks_uri holds public keys only, each with kid, use and alg.",
		},
		{
			id: "discovery-languages", section: "OpenID Connect Discovery 1.0, section 3; RFC 6749, section 3.3", profiles: []string{profileConfig, profileDynamic}, check: certLocales,
			shows: "Every language of the metadata is one that pages have.",
		},
		{
			id: "discovery-prompt", section: "Initiating User Registration via OpenID Connect 1.0, section 4.2", profiles: []string{profileConfig}, check: certPrompts,
			shows: "prompt_values_supported are those that are taken.",
		},
		{
			id: "key-rotation", section: "OpenID Connect Core 1.0, section 10.1.1", profiles: []string{profileDynamic}, later: true, check: certRotation,
			shows: "A new key of ours stands beside the old one before it signs; hints signed by the old one still count.",
		},
		{
			id: "key-rotation-client", section: "OpenID Connect Core 1.0, section 10.1.1", profiles: []string{profileDynamic}, later: true, check: certKeyRotationOfClient,
			shows: "A new key at a client's jwks_uri is found.",
		},
		{
			id: "page-links", section: "OpenID Connect Dynamic Client Registration 1.0, section 2", profiles: []string{profileDynamic}, check: certPageLinks,
			shows: "logo_uri, policy_uri and tos_uri of a client are on the sign-in page.",
		},
		{
			id: "registration", section: "OpenID Connect Dynamic Client Registration 1.0, section 3; RFC 7591, section 3.2.1", types: flowTypes(), profiles: []string{profileDynamic}, check: certRegistered,
			shows: "A client registers itself and is used at once; its ID tokens are signed with RS256 unless it names another algorithm.",
		},
		{
			id: "registration-jwks", section: "OpenID Connect Dynamic Client Registration 1.0, section 2; RFC 7523", profiles: []string{profileDynamic}, check: certRegisteredKeys,
			shows: "It may register jwks or jwks_uri and sign its assertions, with aud as the issuer or the endpoint.",
		},
		{
			id: "registration-pages", section: "OpenID Connect Dynamic Client Registration 1.0, section 2", profiles: []string{profileDynamic}, check: certRegisteredPages,
			shows: "Its logo, policy and terms are on the sign-in page, the logo from our own server.",
		},
		{
			id: "registration-fragment", section: "OpenID Connect Dynamic Client Registration 1.0, section 2; RFC 7591, section 3.2.2", profiles: []string{profileDynamic}, check: certRegisteredFragment,
			shows: "A redirect_uri with a fragment, or none, is invalid_redirect_uri; other bad metadata is invalid_client_metadata.",
		},
		{
			id: "registration-query", section: "RFC 6749, section 3.1.2", profiles: []string{profileDynamic}, check: certRegisteredQuery,
			shows: "A redirect_uri with a query may be registered, and then matches exactly.",
		},
		{
			id: "registration-sector", section: "OpenID Connect Core 1.0, section 8.1; OpenID Connect Dynamic Client Registration 1.0, section 5", profiles: []string{profileDynamic}, check: certRegisteredSector,
			shows: "A sector_identifier_uri is fetched and must list every redirect_uri.",
		},
		{
			id: "registration-objects", section: "OpenID Connect Core 1.0, section 6", profiles: []string{profileDynamic}, check: certRegisteredObjects,
			shows: "It may register request_uris and unsigned request objects, which are then taken, and userinfo and ID tokens as it wants them.",
		},
		{
			id: "registration-key-rotation", section: "OpenID Connect Core 1.0, section 10.1.1", profiles: []string{profileDynamic}, later: true, check: certRegisteredRotation,
			shows: "A refresh token is taken with an assertion by a key that was published only now.",
		},
		{
			id: "userinfo-signed", section: "OpenID Connect Core 1.0, section 5.3.2", profiles: []string{profileDynamic}, check: certUserinfoSigned,
			shows: "userinfo is a JWT signed with RS256 where a client asks for it, with iss and aud.",
		},
		{
			id: "id-token-unsigned", section: "OpenID Connect Core 1.0, section 2; OpenID Connect Dynamic Client Registration 1.0, section 2", profiles: []string{profileDynamic}, check: certIDTokenUnsigned,
			shows: "An ID token of the code flow is unsigned where a client asks for it, and is then no hint.",
		},
		{
			id: "third-party-login", section: "OpenID Connect Core 1.0, section 4; OpenID Connect Dynamic Client Registration 1.0, section 2", profiles: []string{profileThirdParty}, check: certThirdParty,
			shows: "initiate_login_uri can be registered and is returned, by registration and by the client configuration endpoint.",
		},
		{
			id: "third-party-login-https", section: "OpenID Connect Dynamic Client Registration 1.0, section 2", profiles: []string{profileThirdParty}, check: certThirdPartyPlain,
			shows: "One that is not https is refused.",
		},
		{
			id: "third-party-login-begun", section: "OpenID Connect Core 1.0, section 4", profiles: []string{profileThirdParty}, check: certInitiate,
			shows: "People are sent to initiate_login_uri with iss, login_hint and a target_link_uri of the client's own; where a client has registered itself, a page asks first.",
		},
		{
			id: "registration-managed", section: "RFC 7592, sections 2 and 3", profiles: []string{profileBeyond}, check: certManaged,
			shows: "A client reads, changes and deletes its own registration and no other; with it go its tokens.",
		},
		{
			id: "registration-token", section: "RFC 7591, section 3", profiles: []string{profileBeyond}, check: certInitialToken,
			shows: "An initial access token is good for as many registrations as the operator said.",
		},

		{
			id: "oauth-discovery", section: "RFC 8414, section 3", profiles: []string{profileBeyond}, check: certOAuthDiscovery,
			shows: "The metadata of OAuth are the same document at an address of their own.",
		},
		{
			id: "token-errors", section: "RFC 6749, section 5.2", profiles: []string{profileBeyond}, check: certTokenErrors,
			shows: "Errors of the token endpoint have the right code and status; 401 comes with WWW-Authenticate.",
		},
		{
			id: "bearer-errors", section: "RFC 6750, section 3", profiles: []string{profileBeyond}, check: certBearerErrors,
			shows: "userinfo says by WWW-Authenticate what is wrong with an access token.",
		},
		{
			id: "client-credentials", section: "RFC 6749, section 4.4", profiles: []string{profileBeyond}, check: certClientCredentials,
			shows: "A client gets tokens for itself, with its own scopes, without refresh and ID token.",
		},
		{
			id: "public-client", section: "RFC 8252, section 7.1; RFC 7636", profiles: []string{profileBeyond}, check: certPublicClient,
			shows: "A native application signs in with a scheme of its own and PKCE, without a secret.",
		},
		{
			id: "loopback", section: "RFC 8252, sections 7.3 and 8.3", profiles: []string{profileBeyond}, check: certLoopback,
			shows: "A native application may listen at any port of a loopback address, which localhost is not; PKCE is demanded.",
		},
		{
			id: "private-key-jwt", section: "RFC 7523, section 3", profiles: []string{profileBeyond, profileDynamic}, check: certPrivateKeyJWT,
			shows: "A client signs an assertion instead of sending a secret; aud is the issuer or the endpoint; each is taken once.",
		},
		{
			id: "pairwise", section: "OpenID Connect Core 1.0, section 8.1", profiles: []string{profileBeyond}, check: certPairwise,
			shows: "A pairwise sub is the same for a host and another for others.",
		},
		{
			id: "jwt-bearer", section: "RFC 7523, sections 2.1 and 3; RFC 7521, section 4.1", profiles: []string{profileBeyond}, check: certJWTBearer,
			shows: "A client brings the signed word of an issuer that the operator trusts for it, once, and gets an access token for the person it names, nothing longer.",
		},
		{
			id: "password", section: "RFC 6749, section 4.3", profiles: []string{profileBeyond}, check: certPassword,
			shows: "A client that the operator has told may bring a password, which is tried once; all refusals read alike.",
		},
		{
			id: "cors", section: "Fetch standard, section 3.2", profiles: []string{profileBeyond}, check: certCORS,
			shows: "Scripts of a client's own origins may read token, userinfo, revocation and pushed requests, without cookies; those of others may not.",
		},
		{
			id: "webfinger", section: "RFC 7033, section 4; OpenID Connect Discovery 1.0, section 2", profiles: []string{profileBeyond}, check: certWebFinger,
			shows: "WebFinger names the issuer for everybody alike, and looks nobody up.",
		},
		{
			id: "device", section: "RFC 8628, sections 3 and 6.1", profiles: []string{profileBeyond}, check: certDevice,
			shows: "A device shows a code that a person types in elsewhere, in any spelling, and allows; its tokens are for it alone, and once.",
		},
		{
			id: "device-denied", section: "RFC 8628, sections 3.3.1, 3.5 and 5.4", profiles: []string{profileBeyond}, check: certDeviceDenied,
			shows: "A link to the code alone does nothing; the person is asked always; polls get authorization_pending, slow_down and access_denied.",
		},
		{
			id: "device-expired", section: "RFC 8628, section 3.5", profiles: []string{profileBeyond}, later: true, check: certDeviceExpired,
			shows: "After its time a device gets expired_token, and its code is unknown.",
		},
		{
			id: "jwt-access-token", section: "RFC 9068, sections 2 and 4", profiles: []string{profileBeyond}, check: certJWTAccess,
			shows: "Access tokens are JWTs where the operator wants it: typ at+jwt, no claim of the person but sub; they open userinfo and are revoked like any other.",
		},
		{
			id: "resource", section: "RFC 8707, section 2", profiles: []string{profileBeyond}, check: certResource,
			shows: "A client asks for a token for one resource, which alone sees it; one that it may not ask for, or did not, is invalid_target.",
		},
		{
			id: "own-issuer", section: "OpenID Connect Discovery 1.0, section 4; RFC 9700, section 4.4; RFC 9207", profiles: []string{profileBeyond}, check: certOwnIssuer,
			shows: "A client may have an issuer of its own; codes, tokens and hints of one issuer are worth nothing at another.",
		},
		{
			id: "introspection", section: "RFC 7662, section 2", profiles: []string{profileBeyond}, check: certIntrospection,
			shows: "A client sees its own tokens and no others; refresh tokens have their own exp.",
		},
		{
			id: "revocation", section: "RFC 7009, section 2", profiles: []string{profileBeyond}, check: certRevocation,
			shows: "A revoked refresh token takes its grant along; another client's token is refused; an unknown one is no error.",
		},
		{
			id: "par", section: "RFC 9126, sections 2 and 4", profiles: []string{profileBeyond}, check: certPAR,
			shows: "A pushed request is its client's alone, nothing beside it counts, and it lasts until its sign-in ends.",
		},
		{
			id: "par-expiry", section: "RFC 9126, section 2.2", profiles: []string{profileBeyond}, later: true, check: certPARExpires,
			shows: "It ends after expires_in.",
		},
	}
}

package demoapp

import (
	"errors"
	"strings"

	"golang.org/x/oauth2"
)

// notice is a message above the page.
type notice struct {
	Bad    bool   // something went wrong
	Quiet  bool   // no more than a remark
	Title  string // what has happened
	Text   string // what it means
	Code   string // the protocol's word for it
	Detail string // what the provider said
	Retry  bool   // signing in again may help
	Other  bool   // signing in as somebody else may
}

// explain puts an error code of the protocol in plain words (RFC 6749, sections
// 4.1.2.1 and 5.2; OpenID Connect Core 1.0, section 3.1.2.6).
func explain(title, code, detail string) *notice {
	n := &notice{Bad: true, Code: code, Detail: detail, Retry: true}
	switch code {
	case "access_denied":
		n.Title, n.Other = "You were not let in to "+title, true
		n.Text = "Either you said no, or your account does not have what this application asks for. An administrator gives access by adding you to a group in the directory."
	case "login_required", "interaction_required", "account_selection_required":
		n.Title, n.Text = "You have to sign in", "The provider wants to see you before it answers."
	case "consent_required":
		n.Title, n.Text = "Your consent is missing", "The provider wants to ask you first whether this application may have your data."
	case "temporarily_unavailable":
		n.Title, n.Text = "The directory can't be asked just now", "Nothing is lost and nothing has been decided. Try again in a moment."
	case "server_error":
		n.Title, n.Text = "The provider had a fault", "It is not your doing. Try again, and tell an administrator if it stays."
	case "invalid_grant":
		n.Title = "Your sign-in holds no longer"
		n.Text = "The provider gives nothing more for it: it has ended or been used up, or the account has been switched off or has lost a group that this application needs."
	case "invalid_token":
		n.Title = "The access token is refused"
		n.Text = "It has expired or been ended, or the account has been switched off or has lost a group that this application needs. What is shown below is from before."
	case "invalid_scope":
		n.Title, n.Text = title+" asks for something that does not exist", "One of the scopes that it asks for is not known, or not meant for it."
	case "invalid_client", "unauthorized_client":
		n.Title, n.Text, n.Retry = "The provider does not accept "+title, "Its client id, secret or rights are not what the provider has on file.", false
	case "invalid_request", "unsupported_response_type", "request_not_supported", "request_uri_not_supported", "registration_not_supported":
		n.Title, n.Text, n.Retry = title+" has asked in a way that the provider refuses", "This is a fault of the application, not yours.", false
	default:
		n.Title, n.Text = "The sign-in did not succeed", "The provider answered with an error."
	}
	return n
}

// explainError puts an error of ours, or one that holds the provider's answer, in
// plain words.
func explainError(title string, err error) *notice {
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && answer.ErrorCode != "":
		return explain(title, answer.ErrorCode, answer.ErrorDescription)
	case errors.As(err, &answer) && answer.Response != nil:
		return &notice{Bad: true, Retry: true, Title: "The provider could not answer", Text: "It sent the status " + answer.Response.Status + "."}
	case errors.Is(err, errDiscovery):
		return &notice{Bad: true, Retry: true, Title: "The sign-in service can't be reached", Text: "It may still be starting. Try again in a moment.", Detail: err.Error()}
	case errors.Is(err, errNonce), errors.Is(err, errSubject):
		return &notice{Bad: true, Retry: true, Title: "The answer does not belong to this sign-in", Text: "It was thrown away, and nobody is signed in by it.", Detail: err.Error()}
	case errors.Is(err, errNoRefresh):
		return &notice{Bad: true, Retry: true, Title: "There is no refresh token", Text: "The provider gives one when the scope offline_access is asked for and the client may use it."}
	case errors.Is(err, errNotSignedIn):
		return &notice{Bad: true, Retry: true, Title: "You are not signed in here", Text: "Sign in first."}
	case strings.Contains(err.Error(), "401 Unauthorized"): // go-oidc tells the status of userinfo in words only
		return explain(title, "invalid_token", err.Error())
	case strings.Contains(err.Error(), "503 Service Unavailable"):
		return explain(title, "temporarily_unavailable", err.Error())
	default:
		return &notice{Bad: true, Retry: true, Title: "The sign-in service did not give a usable answer", Text: "It sent something that this application does not trust, or could not be reached.", Detail: err.Error()}
	}
}

// meaning says what a claim or a scope is, for those who see it for the first time.
var meanings = map[string]string{
	"iss": "who says all this", "sub": "who you are, for ever: the directory's own id of your entry", "aud": "for which application", "azp": "which application asked",
	"exp": "when it ends", "iat": "when it was made", "auth_time": "when you signed in", "nonce": "ties it to this one sign-in", "amr": "how you signed in", "acr": "how strongly",
	"sid": "your session with the provider", "jti": "its own number", "at_hash": "ties the access token to it", "c_hash": "ties the code to it", "rat": "when it was asked for",
	"name": "full name", "given_name": "given name", "family_name": "family name", "preferred_username": "name you sign in with", "email": "mail address",
	"email_verified": "whether the address is known to be yours", "groups": "groups of the directory, nested ones too", "roles": "the same, under another name",
	"locale": "language", "address": "postal address", "phone_number": "telephone", "updated_at": "when your entry was changed last", "alt_emails": "further mail addresses",
	"website": "web page", "zoneinfo": "time zone", "nickname": "nickname", "middle_name": "middle name", "picture": "picture", "profile": "profile page",

	"scope openid": "know that it is you, by an id without a name", "scope profile": "name, user name, language", "scope email": "mail address", "scope phone": "telephone",
	"scope address": "postal address", "scope groups": "groups you belong to", "scope roles": "groups, as roles", "scope offline_access": "get new tokens while you are away",
}

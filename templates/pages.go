package templates

import "time"

// ClientInfo is what the pages show of an application. All of it may come from
// strangers (RFC 7591, section 5): names are cut, stripped of control and
// direction characters and isolated, and addresses that are not plain web
// addresses are left out.
type ClientInfo struct {
	ID        string // client_id, shown when there is no name
	Name      string // client_name
	URI       string // client_uri: http or https
	LogoURI   string // logo_uri: https, a path of this server, or data:image/…;base64
	PolicyURI string // policy_uri: http or https
	TosURI    string // tos_uri: http or https
}

// Problem is why the sign-in page is shown once more. Which one a person may
// see is the caller's decision: ProblemWrong must be the same for an unknown
// name and a wrong password.
type Problem string

// The problems of a sign-in.
const (
	ProblemNone           Problem = ""
	ProblemWrong          Problem = "wrong"           // user name or password, not said which
	ProblemThrottled      Problem = "throttled"       // too many tries; see SignIn.RetryIn
	ProblemExpired        Problem = "expired"         // the password can no longer be used
	ProblemMustChange     Problem = "must_change"     // the password has to be changed before use
	ProblemDisabled       Problem = "disabled"        // the account is switched off
	ProblemAccountExpired Problem = "account_expired" // the account is past its end date
	ProblemOutsideHours   Problem = "outside_hours"   // not at this time or from this place
	ProblemUnavailable    Problem = "unavailable"     // the directory can't be asked
	ProblemSessionLost    Problem = "session_lost"    // the form was too old, or another browser's
	ProblemNewPassword    Problem = "new_password"    // none: the password was changed, and the new one is asked for
	ProblemUncertain      Problem = "uncertain"       // a change of the password broke off
	ProblemUnknown        Problem = "unknown"         // any other; unknown codes are shown as this
)

// Problems returns every problem with a sentence of its own.
func Problems() []Problem {
	return []Problem{
		ProblemWrong, ProblemThrottled, ProblemExpired, ProblemMustChange, ProblemDisabled,
		ProblemAccountExpired, ProblemOutsideHours, ProblemUnavailable, ProblemSessionLost, ProblemNewPassword, ProblemUncertain,
		ProblemUnknown,
	}
}

// SignIn is the page that asks for user name and password. Its form sends the
// fields username, password, remember ("1" when ticked), request and the button
// login.
type SignIn struct {
	Client          ClientInfo    // the application that is signed in to; may be empty
	Username        string        // filled in beforehand: login_hint, or what was typed
	Problem         Problem       // why the last try failed
	RetryIn         time.Duration // with ProblemThrottled: how long to wait; 0 says just "a little"
	ChangeURL       string        // where passwords are changed, shown with the problem; "" for none
	Again           bool          // already signed in, but asked anew (prompt=login, max_age)
	RememberOffered bool          // show the "keep me signed in" box
	Remember        bool          // the box is ticked
	Request         string        // value of the hidden field request
	Action          string        // where the form goes; "" for /signin
}

// PasswordProblem is why the page for a new password is shown once more.
type PasswordProblem string

// The problems of a new password. Those of a policy come with Password.Detail.
const (
	PasswordProblemNone        PasswordProblem = ""
	PasswordProblemMismatch    PasswordProblem = "mismatch"             // the two entries differ
	PasswordProblemSame        PasswordProblem = "same"                 // it is the current one
	PasswordProblemEmpty       PasswordProblem = "empty"                // a field was left empty
	PasswordProblemTooLong     PasswordProblem = "too_long"             // longer than we take
	PasswordProblemOldWrong    PasswordProblem = "old_wrong"            // the current one isn't right
	PasswordProblemOldNeeded   PasswordProblem = "old_needed"           // the current one has to be entered again
	PasswordProblemThrottled   PasswordProblem = "throttled"            // too many tries; see Password.RetryIn
	PasswordProblemTooShort    PasswordProblem = "too_short"            // policy
	PasswordProblemInHistory   PasswordProblem = "in_history"           // policy: used before
	PasswordProblemTooYoung    PasswordProblem = "too_young"            // policy: changed a short time ago
	PasswordProblemQuality     PasswordProblem = "insufficient_quality" // policy
	PasswordProblemForbidden   PasswordProblem = "change_not_allowed"   // policy: only others may change it
	PasswordProblemPolicy      PasswordProblem = "policy"               // policy, no more is known
	PasswordProblemImpossible  PasswordProblem = "impossible"           // the directory takes no change from here
	PasswordProblemUnavailable PasswordProblem = "unavailable"          // the directory can't be asked
)

// PasswordProblems returns every problem with a sentence of its own.
func PasswordProblems() []PasswordProblem {
	return []PasswordProblem{
		PasswordProblemMismatch, PasswordProblemSame, PasswordProblemEmpty, PasswordProblemTooLong, PasswordProblemOldWrong,
		PasswordProblemOldNeeded, PasswordProblemThrottled, PasswordProblemTooShort, PasswordProblemInHistory, PasswordProblemTooYoung, PasswordProblemQuality,
		PasswordProblemForbidden, PasswordProblemPolicy, PasswordProblemImpossible, PasswordProblemUnavailable,
	}
}

// Password is the page for choosing a new password. Its form sends the fields
// new_password, new_password_again, request, where it is asked for password (the
// current one), and one of the buttons change and later.
type Password struct {
	Client    ClientInfo
	Username  string          // as it was typed at sign-in, for password managers
	Expired   bool            // the password is past its time; otherwise it must be changed for another reason
	Later     bool            // it holds for some more sign-ins: the person may go on without
	AskOld    bool            // ask for the current password too
	Problem   PasswordProblem // why the last try failed
	Detail    string          // what the directory said about the new password
	RetryIn   time.Duration   // with PasswordProblemThrottled
	ChangeURL string          // another place to change it, shown with a problem; "" for none
	Request   string          // value of the hidden field request
	Action    string          // where the form goes; "" for /password
}

// Consent is the page that asks whether an application may have what it asks
// for. Its form sends the field request, one of the buttons allow and deny, each
// with the value "1", and the field withhold_NAME for each claim that is ticked.
type Consent struct {
	Client   ClientInfo
	Person   string   // display name of who is signed in
	Scopes   []string // what is asked for, in the order to be shown
	New      []string // those of Scopes that were not allowed before; marked only if some were
	ReturnTo string   // host that the browser goes to afterwards; "" leaves the line out
	// Withholdable are names of claims that the person may keep back: picture,
	// address, phone_number, website. Withheld are those that are ticked.
	Withholdable, Withheld []string
	UserCode               string // what another device shows that is to be signed in; "" if none is
	Request                string // value of the hidden field request
	Action                 string // where the form goes; "" for /consent
}

// DeviceProblem is why the page for a device's code is shown once more.
type DeviceProblem string

// The problems of a device's code.
const (
	DeviceProblemNone      DeviceProblem = ""
	DeviceProblemWrong     DeviceProblem = "wrong"     // no device waits with this code
	DeviceProblemThrottled DeviceProblem = "throttled" // too many tries; see Device.RetryIn
)

// Device is the page that asks for the code that another device shows (RFC 8628,
// section 3.3). Its form sends the fields user_code and request.
type Device struct {
	UserCode string // filled in beforehand
	Problem  DeviceProblem
	RetryIn  time.Duration // with DeviceProblemThrottled
	Request  string        // value of the hidden field request
	Action   string        // where the form goes; "" for /device
}

// DeviceOutcome is how the sign-in of another device ended.
type DeviceOutcome string

// The ends of a device's sign-in.
const (
	DeviceAllowed DeviceOutcome = "allowed"
	DeviceDenied  DeviceOutcome = "denied"  // the person said no
	DeviceRefused DeviceOutcome = "refused" // the person may not use the application
	DeviceGone    DeviceOutcome = "gone"    // the code no longer works; others are shown as this
)

// DeviceOutcomes returns every outcome with sentences of its own.
func DeviceOutcomes() []DeviceOutcome {
	return []DeviceOutcome{DeviceAllowed, DeviceDenied, DeviceRefused, DeviceGone}
}

// DeviceDone is the page at the end of a device's sign-in: the person goes on there.
type DeviceDone struct {
	Client  ClientInfo // where it is known
	Outcome DeviceOutcome
}

// ErrorKind is what went wrong when there is nobody to redirect to.
type ErrorKind string

// The kinds of error pages.
const (
	ErrorUnknownClient        ErrorKind = "unknown_client"
	ErrorRedirectMismatch     ErrorKind = "redirect_mismatch"
	ErrorInvalidRequest       ErrorKind = "invalid_request"
	ErrorDirectoryUnavailable ErrorKind = "directory_unavailable"
	ErrorRefused              ErrorKind = "refused" // signed in, but not allowed to use the application
	ErrorNotFound             ErrorKind = "not_found"
	ErrorMethod               ErrorKind = "method"
	ErrorTooLarge             ErrorKind = "too_large"
	ErrorThrottled            ErrorKind = "throttled"
	ErrorSessionLost          ErrorKind = "session_lost" // the form was too old, or another browser's
	ErrorCookies              ErrorKind = "cookies"      // the browser keeps none
	ErrorInternal             ErrorKind = "internal"     // any other; unknown kinds are shown as this
)

// ErrorKinds returns every kind with sentences of its own.
func ErrorKinds() []ErrorKind {
	return []ErrorKind{
		ErrorUnknownClient, ErrorRedirectMismatch, ErrorInvalidRequest, ErrorDirectoryUnavailable, ErrorRefused,
		ErrorNotFound, ErrorMethod, ErrorTooLarge, ErrorThrottled, ErrorSessionLost, ErrorCookies, ErrorInternal,
	}
}

// Error is the page for what cannot be told to an application.
type Error struct {
	Kind      ErrorKind
	Client    ClientInfo // where it is known; its URI becomes the way back
	Detail    string     // a few plain words for whoever can mend it; no raw input
	RequestID string     // shown as reference, found again in the log
}

// SignedOut is the page at the end of signing out.
type SignedOut struct {
	Client ClientInfo // where it is known; its URI becomes the way back
}

// SignOut is the page that asks whether to sign out. Its form sends the field
// request and the button signout with the value "1".
type SignOut struct {
	Client  ClientInfo // who asked for it; may be empty
	Person  string     // display name of who is signed in; may be empty
	Cancel  string     // address of the link that leaves things as they are; "" for none
	Request string     // value of the hidden field request
	Action  string     // where the form goes; "" for /signout
}

// Leave is the page before going to an application that nobody has checked. Its link
// leads there.
type Leave struct {
	Client  ClientInfo
	Host    string // that it leads to
	Address string // https only
}

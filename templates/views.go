package templates

import (
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// base is what every page's template can use beside its own fields.
type base struct {
	words *words
	asset func(name string) string

	Lang   string // language tag of the page
	Dir    string // its direction: ltr or rtl
	Client client // where it is known
}

// T returns the words of a key as one text. Placeholders are filled in from
// pairs of name and value.
func (b *base) T(key string, pairs ...string) (string, error) { return b.words.text(key, pairs) }

// Say returns the words of a key in pieces, for the template "sentence".
func (b *base) Say(key string, pairs ...string) (sentence, error) { return b.words.parts(key, pairs) }

// Asset returns the address of a static file.
func (b *base) Asset(name string) string { return b.asset(name) }

// client is what is left of a ClientInfo that may be shown.
type client struct {
	Name   string // the id where there is no name; "" if neither
	Letter string // stands in for a logo
	Tint   int    // 0–5, the same for the same name
	Logo   template.URL
	Home   string
	Policy string
	Terms  string
}

func (s *Set) base(lang string, c ClientInfo) base {
	w := s.words[lang]
	if w == nil {
		plain, _, _ := strings.Cut(lang, "-")
		if w = s.words[plain]; w == nil {
			w = s.words[english]
		}
	}
	name := clean(c.Name, longestName)
	if name == "" {
		name = clean(c.ID, longestName)
	}
	letter, _ := utf8.DecodeRuneInString(name)
	tint := 0
	for i := range len(name) {
		tint = (tint*31 + int(name[i])) % 6
	}
	shown := client{
		Name: name, Tint: tint, Logo: logo(c.LogoURI),
		Home: link(c.URI), Policy: link(c.PolicyURI), Terms: link(c.TosURI),
	}
	if name != "" {
		shown.Letter = strings.ToUpper(string(letter))
	}
	return base{words: w, asset: s.asset, Lang: w.lang, Dir: w.dir(), Client: shown}
}

// signInView is what signin.html is given.
type signInView struct {
	base
	Username    string
	Problem     Problem
	ProblemText string // "" for none
	ChangeURL   string // where passwords are changed, to be shown with the problem
	Again       bool
	Remember    bool // the box is shown
	Remembered  bool // and ticked
	Request     string
	Action      string
}

// SignIn writes the sign-in page.
func (s *Set) SignIn(w io.Writer, lang string, p SignIn) error {
	v := &signInView{
		base: s.base(lang, p.Client), Username: clean(p.Username, longestText), Problem: p.Problem, Again: p.Again,
		Remember: p.RememberOffered, Remembered: p.Remember, Request: whole(p.Request), Action: or(p.Action, "/signin"),
	}
	if p.Problem != ProblemNone {
		text, err := v.problemText(p)
		if err != nil {
			return err
		}
		v.ProblemText, v.ChangeURL = text, link(p.ChangeURL)
	}
	return s.write(w, "signin.html", v)
}

func (v *signInView) problemText(p SignIn) (string, error) {
	if !slices.Contains(Problems(), p.Problem) {
		return v.T("problem.unknown")
	}
	if p.Problem == ProblemThrottled && p.RetryIn > 0 {
		return v.waiting(p.RetryIn)
	}
	return v.T("problem." + string(p.Problem))
}

// waiting says that there were too many tries, and for how long to wait.
func (b *base) waiting(d time.Duration) (string, error) {
	minutes := int(math.Ceil(d.Minutes()))
	key := b.words.counted("problem.throttled.minutes", minutes)
	return b.T(key, "n", strconv.Itoa(minutes))
}

// passwordView is what password.html is given.
type passwordView struct {
	base
	Username    string
	Lead        string
	Later       bool
	AskOld      bool
	Problem     PasswordProblem
	ProblemText string // "" for none
	NewInvalid  bool   // the problem is with the new password
	Detail      string
	ChangeURL   string
	Request     string
	Action      string
}

// Password writes the page for choosing a new password.
func (s *Set) Password(w io.Writer, lang string, p Password) error {
	v := &passwordView{
		base: s.base(lang, p.Client), Username: clean(p.Username, longestText), Later: p.Later, AskOld: p.AskOld,
		Problem: p.Problem, Request: whole(p.Request), Action: or(p.Action, "/password"),
	}
	key := "password.lead.must_change"
	switch {
	case p.Later:
		key = "password.lead.later"
	case p.Expired:
		key = "password.lead.expired"
	}
	var err error
	if v.Lead, err = v.T(key); err != nil {
		return err
	}
	if p.Problem != PasswordProblemNone {
		if v.ProblemText, err = v.problemText(p); err != nil {
			return err
		}
		v.Detail, v.ChangeURL = clean(p.Detail, longestText), link(p.ChangeURL)
	}
	switch p.Problem {
	case PasswordProblemNone, PasswordProblemOldWrong, PasswordProblemOldNeeded, PasswordProblemThrottled, PasswordProblemTooYoung,
		PasswordProblemForbidden, PasswordProblemImpossible, PasswordProblemUnavailable:
	default:
		v.NewInvalid = true
	}
	return s.write(w, "password.html", v)
}

func (v *passwordView) problemText(p Password) (string, error) {
	switch {
	case !slices.Contains(PasswordProblems(), p.Problem):
		return v.T("problem.unknown")
	case p.Problem == PasswordProblemUnavailable:
		return v.T("problem.unavailable")
	case p.Problem == PasswordProblemThrottled && p.RetryIn > 0:
		return v.waiting(p.RetryIn)
	case p.Problem == PasswordProblemThrottled:
		return v.T("problem.throttled")
	}
	return v.T("password.problem." + string(p.Problem))
}

// consentView is what consent.html is given.
type consentView struct {
	base
	Person   string
	Scopes   []scopeView
	Choices  []choiceView
	ReturnTo string
	UserCode string
	Request  string
	Action   string
}

// scopeView is one line of what an application asks for.
type scopeView struct {
	Name  string // of the scope; empty for one of a strange name
	Icon  string // for the template "icon"
	Title sentence
	More  sentence
	New   bool
}

// choiceView is a claim that the person may keep back.
type choiceView struct {
	Name, Label string
	Withheld    bool
}

// Consent writes the consent page.
func (s *Set) Consent(w io.Writer, lang string, p Consent) error {
	v := &consentView{
		base: s.base(lang, p.Client), Person: clean(p.Person, longestName), ReturnTo: clean(p.ReturnTo, longestText),
		UserCode: clean(p.UserCode, longestName),
		Request:  whole(p.Request), Action: or(p.Action, "/consent"),
	}
	grown := len(p.New) < len(p.Scopes) // where all are new, none needs a mark
	for _, scope := range p.Scopes {
		line, err := v.scope(scope)
		if err != nil {
			return err
		}
		line.New = grown && slices.Contains(p.New, scope)
		v.Scopes = append(v.Scopes, line)
	}
	for _, name := range p.Withholdable {
		label, err := v.T("withhold." + name)
		if err != nil {
			return err
		}
		v.Choices = append(v.Choices, choiceView{Name: name, Label: label, Withheld: slices.Contains(p.Withheld, name)})
	}
	return s.write(w, "consent.html", v)
}

// scope says a scope in plain words: those of the key scope.NAME, which an
// operator may add for scopes of their own, or else some that name it.
func (v *consentView) scope(name string) (scopeView, error) {
	line := scopeView{Name: clean(name, longestName), Icon: name}
	key := customScope + name
	title, ok := v.words.says[key]
	if !ok || reserved(name) {
		key, line.Icon = "scope.other", "other"
		said, err := v.Say(key, "scope", line.Name)
		if err != nil {
			return line, err
		}
		title = said
	}
	line.Title, line.More = title, v.words.says[key+".more"]
	return line, nil
}

// reserved reports whether a scope's name would find words that are not its own.
func reserved(name string) bool { return name == "other" || strings.HasSuffix(name, ".more") }

// deviceView is what device.html is given.
type deviceView struct {
	base
	UserCode    string
	ProblemText string // "" for none
	Request     string
	Action      string
}

// Device writes the page that asks for a device's code.
func (s *Set) Device(w io.Writer, lang string, p Device) error {
	v := &deviceView{
		base: s.base(lang, ClientInfo{}), UserCode: clean(p.UserCode, longestName), Request: whole(p.Request), Action: or(p.Action, "/device"),
	}
	var err error
	switch p.Problem {
	case DeviceProblemNone:
	case DeviceProblemThrottled:
		v.ProblemText, err = v.waiting(p.RetryIn)
	default:
		v.ProblemText, err = v.T("device.problem.wrong")
	}
	if err != nil {
		return err
	}
	return s.write(w, "device.html", v)
}

// deviceDoneView is what devicedone.html is given.
type deviceDoneView struct {
	base
	Outcome DeviceOutcome
	Title   string
	Text    string
}

// DeviceDone writes the page at the end of a device's sign-in.
func (s *Set) DeviceDone(w io.Writer, lang string, p DeviceDone) error {
	v := &deviceDoneView{base: s.base(lang, p.Client), Outcome: p.Outcome}
	if !slices.Contains(DeviceOutcomes(), v.Outcome) {
		v.Outcome = DeviceGone
	}
	var err error
	if v.Title, err = v.T("device." + string(v.Outcome) + ".title"); err != nil {
		return err
	}
	if v.Text, err = v.T("device." + string(v.Outcome) + ".text"); err != nil {
		return err
	}
	return s.write(w, "devicedone.html", v)
}

// errorView is what error.html is given.
type errorView struct {
	base
	Kind      ErrorKind
	Title     string
	Text      string
	Advice    string
	Detail    string
	RequestID string
}

// Error writes an error page.
func (s *Set) Error(w io.Writer, lang string, p Error) error {
	v := &errorView{
		base: s.base(lang, p.Client), Kind: p.Kind,
		Detail: clean(p.Detail, longestText), RequestID: clean(p.RequestID, longestName),
	}
	if !slices.Contains(ErrorKinds(), v.Kind) {
		v.Kind = ErrorInternal
	}
	for _, text := range []struct {
		to  *string
		key string
	}{{&v.Title, "title"}, {&v.Text, "text"}, {&v.Advice, "advice"}} {
		said, err := v.T("error." + string(v.Kind) + "." + text.key)
		if err != nil {
			return err
		}
		*text.to = said
	}
	return s.write(w, "error.html", v)
}

// signedOutView is what signedout.html is given.
type signedOutView struct{ base }

// SignedOut writes the page at the end of signing out.
func (s *Set) SignedOut(w io.Writer, lang string, p SignedOut) error {
	return s.write(w, "signedout.html", &signedOutView{base: s.base(lang, p.Client)})
}

// signOutView is what signout.html is given.
type signOutView struct {
	base
	Person  string
	Cancel  string
	Request string
	Action  string
}

// SignOut writes the page that asks whether to sign out.
func (s *Set) SignOut(w io.Writer, lang string, p SignOut) error {
	return s.write(w, "signout.html", &signOutView{
		base: s.base(lang, p.Client), Person: clean(p.Person, longestName), Cancel: p.Cancel,
		Request: whole(p.Request), Action: or(p.Action, "/signout"),
	})
}

// leaveView is what leave.html is given.
type leaveView struct {
	base
	Host    string
	Address string
}

// Leave writes the page before going to an application that nobody has checked.
func (s *Set) Leave(w io.Writer, lang string, p Leave) error {
	return s.write(w, "leave.html", &leaveView{base: s.base(lang, p.Client), Host: clean(p.Host, longestText), Address: link(p.Address)})
}

// whole keeps a page valid UTF-8 whatever a hidden field holds.
func whole(s string) string { return strings.ToValidUTF8(s, "") }

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

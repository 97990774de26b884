// Package templates owns the pages that a person sees (sign-in, consent, error,
// signing out) and their words in several languages.
//
// It leaves to the caller which page is shown, what may be told, the status and
// every header. The pages hold no script, no style attribute and no address of
// another site but those that a client registered, so they work under
// "default-src 'none'; style-src 'self'; img-src 'self' https: data:".
//
// Always true: a page is written whole or not at all; whatever a client or a
// person is called, it is shown as text of bounded length inside its own
// element; a set that was loaded has rendered its pages, those of an override
// in every language.
package templates

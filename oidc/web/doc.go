// Package web owns everything between a browser and the rest of Gatehouse:
// routes, middleware, cookies, sessions, the throttle of sign-ins, pages, and the
// one place where an error becomes a page or JSON.
//
// It leaves the protocol to oidc/provider (which decides every next step), people
// to the Directory, rows to oidc/store, and words and looks to templates.
//
// Always true: every step of a sign-in returns to dispatch and none calls
// another; a page's form holds its whole request, sealed for one browser and one
// purpose, so nothing is written before a person has signed in; a password goes
// to the Directory and nowhere else, once for each time it is typed, but for one
// that has to be replaced, which stays in memory for the few minutes that takes;
// nothing that was sent to us is echoed by an error page; what is kept in memory for strangers has a fixed limit.
package web

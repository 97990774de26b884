package main

import (
	"context"
	"net/http"

	"gatehouse/cmd/gatehouse/demoapp"
)

// demoAppOptions say which application to show and who its provider is.
type demoAppOptions = demoapp.Options

// newDemoApp returns a small application that signs in through the real protocol.
// Several may be served side by side, each below its own BaseURL.
func newDemoApp(opts demoAppOptions) http.Handler { return demoapp.New(opts) }

// demoTVOptions say which television to show.
type demoTVOptions = demoapp.TVOptions

// newDemoTV returns a device that is signed in to with another one (RFC 8628).
func newDemoTV(ctx context.Context, opts demoTVOptions) http.Handler { return demoapp.NewTV(ctx, opts) }

// demoAppLink is another application to try.
type demoAppLink = demoapp.Link

// demoAppPerson is an account to try.
type demoAppPerson = demoapp.Person

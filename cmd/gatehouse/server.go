package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"time"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/outbound"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
	"gatehouse/oidc/web"
	"gatehouse/static"
	"gatehouse/templates"
)

// house is a server with all that it stands on.
type house struct {
	config    *config.Config
	log       *slog.Logger
	now       func() time.Time
	store     *store.Store
	directory directory
	clients   *clients.Set
	registry  *clients.Registry
	keys      *keys.Ring
	own       *keys.Clients // of clients with an issuer of their own
	secrets   *oldSecrets
	web       *web.Server
	push      *provider.Push
	local     http.Handler // for other programs on this machine
}

// newHouse builds everything from the configuration, in the order in which one
// thing needs another. What is wrong is told all at once where that is possible.
// The caller closes the house.
func newHouse(ctx context.Context, cfg *config.Config, log *slog.Logger, now func() time.Time) (_ *house, err error) {
	h := &house{config: cfg, log: log, now: now, secrets: &oldSecrets{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()

	table, err := claimsTable(cfg)
	if err != nil {
		return nil, err
	}
	var problems oidc.Problems
	note := func(err error) { problems = append(problems, problemsOf(err)...) }
	h.clients, err = clients.Open(cfg.ClientsDir)
	note(err)
	h.keys, err = keys.Open(cfg.KeysDir, now)
	note(err)
	h.own = keys.NewClients(cfg.KeysDir, now)
	note(h.makeOwnKeys())
	h.publishKeys()
	h.directory, err = newDirectory(cfg, table, personAttributes(table, h.clients), log, now)
	note(err)
	h.store, err = store.Open(ctx, cfg.Database, store.Options{Log: log, Now: now})
	note(err)
	assets, pages, err := loadPages(cfg)
	note(err)
	policy, err := registrationPolicy(cfg)
	note(err)
	if len(problems) > 0 {
		return nil, problems
	}

	protocol, err := h.newProvider(table, policy, h.keysOf)
	if err != nil {
		return nil, err
	}
	h.push, h.local = protocol.NewPush(h.store), protocol.Local(peerOf)
	var remember time.Duration
	if cfg.Session.Remember {
		remember = cfg.Session.RememberFor
	}
	var register, manage http.Handler
	if policy != nil {
		register, manage = protocol.Register(), protocol.ManageRegistration()
	}
	h.web, err = web.New(web.Options{
		Issuer: cfg.Issuer, Provider: protocol, Directory: h.directory, Sessions: h.store, Pages: pages, Static: assets,
		Endpoints: web.Endpoints{
			Token: protocol.Token(), UserInfo: protocol.UserInfo(), Introspection: protocol.Introspection(),
			PushedAuthorization: protocol.PushedAuthorization(), DeviceAuthorization: protocol.DeviceAuthorization(), Revocation: protocol.Revocation(), JWKS: protocol.JWKS(), Discovery: protocol.Discovery(),
			Picture: protocol.Picture(), HasIssuer: protocol.HasIssuer, WebFinger: protocol.WebFinger(), InitiateLogin: protocol.InitiateLogin, Registration: register, ManageRegistration: manage,
		},
		RegistrationRate: cfg.Registration.OpenRate,
		Derive:           h.keys.Derive, Ready: h.ready, Log: log, Now: now, TrustedProxies: cfg.TrustedProxies,
		SessionIdle: cfg.Session.Idle, SessionAbsolute: cfg.Session.Absolute, SessionRemember: remember,
		Throttle: web.ThrottleSettings{
			AccountFailures: cfg.Throttle.AccountFailures, NetworkFailures: cfg.Throttle.NetworkFailures,
			Window: cfg.Throttle.Window, MaxWait: cfg.Throttle.MaxWait,
		},
	})
	return h, err
}

// newProvider builds the protocol on what the house has. keysOf finds the keys of
// clients that have their own.
func (h *house) newProvider(table claims.Table, policy *clients.Policy, keysOf func(*oidc.Client) (provider.Keys, error)) (*provider.Provider, error) {
	cfg := h.config
	fetch, err := outbound.New(outbound.Options{Allow: cfg.Outbound.Allow, CAFile: cfg.Outbound.CAFile})
	if err != nil {
		return nil, err
	}
	sealer, err := newSealer(h.keys)
	if err != nil {
		return nil, err
	}
	h.registry = clients.NewRegistry(h.clients, h.store, policy, h.log)
	return provider.New(provider.Options{
		Issuer: cfg.Issuer, Clients: h.registry, Secrets: clients.NewVerifier(), Directory: h.directory, Store: h.store, Keys: h.keys,
		Claims: table, RefreshGrace: cfg.RefreshGrace, PairwiseSalt: pairwiseSalt(h.keys), Log: h.log, Now: h.now,
		Lifespans: lifespans(cfg), Derive: h.keys.Derive, Photos: photosOf(cfg, h.directory), SecretOf: sealer.Secret, Fetch: fetch,
		ClientKeys: keysOf, Origins: h.registry, Registration: registration(cfg, policy, h.store, sealer),
		DefaultResource: cfg.DefaultResource, RequirePushed: cfg.RequirePushed, PushedLife: cfg.Lifespans.PushedRequest, DeviceLife: cfg.Lifespans.DeviceCode,
		Passwords: func(ctx context.Context, from netip.Addr, name, password string) (*oidc.User, error) {
			return h.web.SignIn(ctx, from, name, password) // built later; nobody asks before
		},
	})
}

// loadPages returns static files and pages, with the operator's own laid over.
func loadPages(cfg *config.Config) (*static.Assets, *templates.Set, error) {
	assets, err := static.Load(cfg.StaticDir)
	if err != nil {
		return nil, nil, err
	}
	pages, err := templates.Load(cfg.TemplatesDir, templates.WithAssets(assets.URL))
	return assets, pages, err
}

// problemsOf returns the problems that err consists of, so that those of several
// parts can be told in one run.
func problemsOf(err error) oidc.Problems {
	var several oidc.Problems
	switch {
	case err == nil:
		return nil
	case errors.As(err, &several):
		return several
	default:
		return oidc.Problems{{Message: err.Error()}}
	}
}

// ready says whether people can sign in: the database can be read and a directory
// answers.
func (h *house) ready(ctx context.Context) error {
	return errors.Join(h.store.Ping(ctx), readable(ctx, h.directory))
}

// close gives everything back, last things first.
func (h *house) close() error {
	if h.directory != nil {
		h.directory.Close()
	}
	if h.store != nil {
		return h.store.Close()
	}
	return nil
}

const (
	reloadEvery = 2 * time.Second // how soon a changed client or key file counts
	cleanEvery  = time.Minute
	cleanBatch  = 500 // rows a commit, so that nobody waits long behind it
)

// tend reloads what has changed on disk and removes what has expired, until ctx
// ends. A value on now has it look at once.
func (h *house) tend(ctx context.Context, atOnce <-chan os.Signal) {
	reload, clean := time.NewTicker(reloadEvery), time.NewTicker(cleanEvery)
	defer reload.Stop()
	defer clean.Stop()
	var told tellOnce
	h.rotate(ctx, &told)
	_ = h.secrets.look(ctx, h) // the first look ends nothing
	for {
		select {
		case <-ctx.Done():
			return
		case <-atOnce:
			h.reload(ctx, &told)
		case <-reload.C:
			h.reload(ctx, &told)
		case <-clean.C:
			h.clean(ctx)
			h.rotate(ctx, &told)
		}
	}
}

// tellOnce keeps a fault that stays from filling the log.
type tellOnce struct{ clients, keys, own, rotation string }

// reload takes over changed client and key files, or keeps what there is.
func (h *house) reload(ctx context.Context, told *tellOnce) {
	changed, err := h.clients.Reload()
	h.reloaded(ctx, "clients", changed, err, &told.clients)
	if err := h.secrets.look(ctx, h); err != nil {
		h.log.ErrorContext(ctx, "cannot end what was given for an old secret, it is tried again", slog.String("error", err.Error()))
	}
	if changed && err == nil {
		for _, w := range h.clients.Warnings() {
			h.log.WarnContext(ctx, w.String(), slog.String("hint", w.Hint))
		}
	}
	changed, err = h.keys.Reload()
	h.reloaded(ctx, "keys", changed, err, &told.keys)
	h.publishKeys()
	h.reloadOwn(ctx, told)
}

func (h *house) reloaded(ctx context.Context, what string, changed bool, err error, told *string) {
	switch {
	case err == nil:
		*told = ""
		if changed {
			h.log.InfoContext(ctx, "reloaded", slog.String("what", what))
		}
	case err.Error() != *told:
		*told = err.Error()
		h.log.ErrorContext(ctx, "not reloaded, what was there before stays in force", slog.String("what", what), slog.String("error", err.Error()))
	}
}

// clean removes expired rows in small batches.
func (h *house) clean(ctx context.Context) {
	for ctx.Err() == nil {
		deleted, err := h.store.Clean(ctx, h.now(), cleanBatch)
		if err != nil {
			h.log.WarnContext(ctx, "cannot remove expired rows", slog.String("error", err.Error()))
			return
		}
		if deleted < cleanBatch {
			return
		}
	}
}

// newLogger returns the logger that the configuration asks for.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

var _ http.Handler = (*static.Assets)(nil)

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/config"
)

// shutdownTime is how long requests in flight have after SIGTERM. It is more than
// the longest that a directory or a browser may take.
const shutdownTime = 20 * time.Second

// serve builds the server, says when it is listening and answers until ctx ends;
// then it finishes what is in flight. ready, if not nil, is told the address.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, now func() time.Time, ready func(net.Addr)) (err error) {
	h, err := newHouse(ctx, cfg, log, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	for _, w := range h.clients.Warnings() {
		log.WarnContext(ctx, w.String(), slog.String("hint", w.Hint))
	}
	listener, err := h.listen(ctx)
	if err != nil {
		return err
	}
	if err := h.directory.Ping(ctx); err != nil {
		// Not a reason to stop: it may be back before anybody signs in.
		log.WarnContext(ctx, "the directory does not answer", slog.String("error", err.Error()))
	}
	if ready != nil {
		ready(listener.Addr())
	}
	return h.serveOn(ctx, listener)
}

// listen opens the configured address, with TLS if it is ours to do.
func (h *house) listen(ctx context.Context) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", h.config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", h.config.Listen, err)
	}
	if h.config.TLS.CertFile == "" {
		return listener, nil
	}
	cert := &certificate{certFile: h.config.TLS.CertFile, keyFile: h.config.TLS.KeyFile, now: h.now, log: h.log}
	if _, err := cert.get(nil); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: cert.get, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}

// serveOn answers on listener until ctx ends.
func (h *house) serveOn(ctx context.Context, listener net.Listener) error {
	server := h.web.HTTPServer()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tending, stopTending := context.WithCancel(ctx)
	var group sync.WaitGroup
	closeLocal, err := h.serveLocal(ctx)
	if err != nil {
		stopTending()
		return errors.Join(err, listener.Close())
	}
	defer closeLocal()
	group.Go(func() { h.tend(tending, hangup) })
	group.Go(func() { h.watch(tending) })
	defer group.Wait()
	defer stopTending()

	h.log.InfoContext(ctx, "listening", slog.String("address", listener.Addr().String()), slog.String("issuer", h.config.Issuer),
		slog.String("version", programVersion()))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	h.log.InfoContext(ctx, "stopping", slog.Duration("at_most", shutdownTime))
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		return fmt.Errorf("stop: %w", errors.Join(err, server.Close()))
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// certificate is the server's own, read again when its file changes, so that a
// renewal needs no restart.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	written time.Time // modification time of certFile when it was read
	checked time.Time
}

// get implements tls.Config.GetCertificate. It looks at the file once a minute;
// while a new pair is not whole, the old one stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.pair != nil && now.Sub(c.checked) < time.Minute {
		return c.pair, nil
	}
	c.checked = now
	info, err := os.Stat(c.certFile)
	if err == nil && c.pair != nil && info.ModTime().Equal(c.written) {
		return c.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	switch {
	case err == nil:
		c.pair, c.written = &pair, info.ModTime()
	case c.pair == nil:
		return nil, fmt.Errorf("read the certificate: %w", err)
	default:
		c.log.Error("cannot read the new certificate, the old one stays", slog.String("error", err.Error()))
	}
	return c.pair, nil
}

const serveHelp = `Answers people and applications as the configuration says, until SIGTERM or
Ctrl-C; requests in flight are then finished. What is unsafe or wrong in the
configuration, a client file, a key or the database keeps it from starting, and
all of it is told at once.

While it runs, client files, keys and its own certificate are picked up within
seconds of a change (SIGHUP: at once). A file that is wrong leaves what was there
in force. Other settings need a restart.`

func newServeCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long:  serveHelp,
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, newLogger(cfg, env.stderr), env.now, nil)
		},
	}
}

// serverCommands are the commands that run until they are stopped.
func serverCommands(env *environment) []*cobra.Command {
	return []*cobra.Command{newServeCommand(env), newDemoCommand(env)}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// serveLocal answers other programs on the socket of the configuration, if it names
// one, until close is called.
func (h *house) serveLocal(ctx context.Context) (closeLocal func(), err error) {
	s := h.config.LocalSocket
	if s.Path == "" {
		return func() {}, nil
	}
	listener, err := listenLocal(ctx, s.Path, s.Group)
	if err != nil {
		return nil, fmt.Errorf("local_socket: %w", err)
	}
	server := &http.Server{
		Handler: h.local, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ConnContext: withPeer, ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	h.log.InfoContext(ctx, "listening for other programs", slog.String("socket", s.Path))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.log.ErrorContext(ctx, "the local socket ended", slog.String("error", err.Error()))
		}
	}()
	return func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if err := server.Shutdown(closing); err != nil {
			_ = server.Close() // what is left has had its time
		}
		<-done
		_ = os.Remove(s.Path) // the next start replaces it anyway
	}, nil
}

// listenLocal makes a socket that nobody but its owner, and the group if there is
// one, was ever able to open: it gets its mode in a folder of its own and is moved
// to its place as a whole. What a server left behind that was killed is replaced; a
// socket that somebody answers on is not, nor is anything else of that name.
func listenLocal(ctx context.Context, path, group string) (net.Listener, error) {
	if err := replaceable(ctx, path); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".gatehouse-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // empty by then, or not to be used
	made := filepath.Join(folder, "s")
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	if unix, ok := listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it would look for it where it was made
	}
	if err := restrict(made, group); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := os.Rename(made, path); err != nil {
		return nil, errors.Join(fmt.Errorf("make the socket: %w", err), listener.Close())
	}
	return listener, nil
}

func replaceable(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return withHint(fmt.Errorf("%s is no socket", path), "name a file that isn't there")
	}
	connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil //nolint:nilerr // nobody is behind it
	}
	return errors.Join(withHint(fmt.Errorf("another program answers on %s", path), "stop it, or name another file"), connection.Close())
}

// restrict gives a socket its mode and its group.
func restrict(path, group string) error {
	if group == "" {
		return os.Chmod(path, 0o600)
	}
	id, err := strconv.Atoi(group)
	if err != nil {
		found, err := user.LookupGroup(group)
		if err != nil {
			return withHint(fmt.Errorf("the group of the socket: %w", err), "set local_socket.group to a group of this machine")
		}
		if id, err = strconv.Atoi(found.Gid); err != nil {
			return fmt.Errorf("the group of the socket: %w", err)
		}
	}
	if err := os.Chown(path, -1, id); err != nil {
		return withHint(fmt.Errorf("give the socket to the group %s: %w", group, err), "make the server's account a member of it")
	}
	return os.Chmod(path, 0o660) //nolint:gosec // G302: what local_socket.group asks for
}

type peerKey struct{}

// withPeer notes who has opened a connection.
func withPeer(ctx context.Context, connection net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerName(connection))
}

// peerOf names who asks, for the audit log.
func peerOf(r *http.Request) string {
	name, _ := r.Context().Value(peerKey{}).(string)
	return name
}

package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the command gatehouse, when it is started
// under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main})
}

// process is the command gatehouse in a process of its own.
type process struct {
	cmd  *exec.Cmd
	Log  *buffer
	done chan struct{} // closed when it has ended
	err  error         // of its end
}

// startProcess starts the command. It ends with the test, however the test ends.
func startProcess(t testing.TB, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(context.Background(), exe, args...), Log: &buffer{}, done: make(chan struct{})}
	p.cmd.Args[0] = "gatehouse"
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the starting thread ends, so it has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- p.cmd.Start()
		copyLines(p.Log, stderr)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func copyLines(to io.Writer, from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(to, line) // into memory
		if err != nil {
			return
		}
	}
}

// kill ends the process at once and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// awaitReady waits until the server answers.
func (p *process) awaitReady(t testing.TB, issuer string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		select {
		case <-p.done:
			t.Fatalf("the server ended: %v\n%s", p.err, p.Log)
		default:
		}
		response, err := http.Get(issuer + "/healthz")
		if err == nil {
			_ = response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not answer: %v\n%s", err, p.Log)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// freeAddress returns a loopback address that nobody listens on at the moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func TestStoppingFinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	s := writtenSite(t)
	p := startProcess(t, "serve", "--config", s.config)
	p.awaitReady(t, s.issuer)
	app := s.application(t, "openid")
	g := newPerson(t).get(app.address())
	s.ldap.Pause()
	answered := make(chan page)
	go func() { answered <- g.signIn("alice") }()
	eventually(t, "the sign-in waits for the directory", func() bool { return s.waiting(t) })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server says that it stops", func() bool { return strings.Contains(p.Log.String(), "stopping") })
	s.ldap.Resume()
	if got := <-answered; got.Location == nil || got.Location.Query().Get("code") == "" {
		t.Errorf("the request in flight was lost: %d %s", got.Status, got.Body)
	}
	<-p.done
	if p.err != nil {
		t.Errorf("%v\n%s", p.err, p.Log)
	}
}

package ldaptest

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	output output
	ended  chan struct{} // closed when the process is gone
}

// output keeps what a server says, for the message of a failed start.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() < 64<<10 {
		o.b.Write(p)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// hurried is the environment for servers and their tools: what Samba writes need
// not reach the disk, as nothing here outlives the test.
func hurried() []string { return append(os.Environ(), "TDB_NO_FSYNC=1") }

// start runs a program that ends when this process does. Linux ties that to the
// thread which started it, so one thread is kept for it until it has ended.
func start(program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})} // no context: kill ends it
	p.cmd.Env = hurried()
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	dieWithParent(p.cmd)
	started := make(chan error, 1)
	go func() {
		defer close(p.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	return p, <-started
}

// signal sends a signal; the process may be gone already. After SIGSTOP it stands
// still when signal returns.
func (p *process) signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s)
	for s == syscall.SIGSTOP && !p.gone() && !stopped(p.cmd.Process.Pid) {
		time.Sleep(time.Millisecond)
	}
}

// kill ends the process and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// gone reports whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

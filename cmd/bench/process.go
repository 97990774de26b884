//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// process is a program that was started here and ends with us.
type process struct {
	cmd  *exec.Cmd
	log  string // file with everything that it printed
	done chan struct{}
}

// startProcess starts a program with its output in a file.
func startProcess(log string, program string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(program, args...) //nolint:noctx // ended by stop, which lets it finish what it has begun
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended shows in its log
		close(p.done)
	}()
	return p, nil
}

// until polls ready every millisecond, and gives up after ten seconds or when the
// process has ended.
func (p *process) until(ctx context.Context, ready func() error) error {
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err = ready(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s has ended:\n%s", p.cmd.Path, p.lastLines())
		case <-time.After(time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready: %w\n%s", p.cmd.Path, err, p.lastLines())
}

// stop asks the process to end, and makes it after ten seconds.
func (p *process) stop() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		return
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// lastLines are the end of what the process printed.
func (p *process) lastLines() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// cpu is the user and system time that the process has used, in ticks of a
// hundredth of a second (proc(5), /proc/pid/stat, fields 14 and 15).
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses and may hold spaces.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 13 {
		return 0, errors.New("/proc: too few fields")
	}
	user, err1 := strconv.Atoi(string(f[11]))
	system, err2 := strconv.Atoi(string(f[12]))
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// rss is the resident memory in MiB, peakRSS the most that it ever was.
func (p *process) rss() float64     { return p.status("VmRSS:") }
func (p *process) peakRSS() float64 { return p.status("VmHWM:") }

func (p *process) status(key string) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(b, []byte(key))
	if !ok {
		return 0
	}
	kib, err := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
	if err != nil {
		return 0
	}
	return kib / 1024
}

package ldaptest

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestManyServersStartBesideOneAnother(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	servers := make([]*Server, 6)
	for i := range servers {
		wg.Go(func() { servers[i] = Start(t) })
	}
	wg.Wait()
	if t.Failed() || t.Skipped() {
		return
	}
	for i, s := range servers {
		s.Modify(PersonDN("alice"), "description", strconv.Itoa(i))
	}
	for i, s := range servers {
		if got := s.Values(PersonDN("alice"), "description"); !slices.Equal(got, []string{strconv.Itoa(i)}) {
			t.Errorf("server %d has %q", i, got)
		}
	}
}

func TestTheAdministratorsChangesStay(t *testing.T) {
	t.Parallel()
	s := Start(t)
	alice, admins := PersonDN("alice"), GroupDN("cn=admins")
	if !slices.Contains(s.Values(alice, "memberOf"), admins) {
		t.Errorf("memberOf of the seed is %q", s.Values(alice, "memberOf"))
	}
	s.RemoveMember(admins, alice) // the last one
	if slices.Contains(s.Values(alice, "memberOf"), admins) {
		t.Error("memberOf still names the group")
	}
	s.AddMember(admins, PersonDN("bob"))
	s.Disable("bob")
	s.Restart()
	if got := s.Values(PersonDN("bob"), "pwdAccountLockedTime"); len(got) != 1 {
		t.Errorf("after a restart pwdAccountLockedTime is %q", got)
	}
	s.Enable("bob")
	s.Rename(PersonDN("bob"), "uid=robert")
	waitForMember(t, s, admins, PersonDN("robert"), true)
	s.DeleteUser("robert")
	waitForMember(t, s, admins, PersonDN("robert"), false)
}

// waitForMember polls, because the overlay refint tidies up in the background.
func waitForMember(t *testing.T, s *Server, group, member string, want bool) {
	t.Helper()
	eventually(t, func() bool { return slices.Contains(s.Values(group, "member"), member) == want }, func() {
		t.Fatalf("the members of %s are %q", group, s.Values(group, "member"))
	})
}

// eventually polls until f holds, or calls late.
func eventually(t *testing.T, f func() bool, late func()) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			late()
		}
	}
}

// TestHelperServer is no test of its own: it starts a server and waits to be
// killed by the next test.
func TestHelperServer(t *testing.T) {
	if os.Getenv("LDAPTEST_HELPER") == "" {
		t.Skip("runs in a process of its own")
	}
	s := Start(t)
	if _, err := os.Stdout.WriteString("pid " + strconv.Itoa(s.process.cmd.Process.Pid) + "\n"); err != nil {
		t.Fatal(err)
	}
	select {}
}

func TestAKilledTestLeavesNoServerBehind(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a child's life to its parent's")
	}
	need(t, "slapd", "slapd")
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperServer$", "-test.v")
	cmd.Env = append(os.Environ(), "LDAPTEST_HELPER=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if pid == 0 || syscall.Kill(pid, 0) != nil {
		t.Fatalf("no server was started (pid %d)", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && !zombie(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("slapd %d still runs", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// zombie reports whether a process has ended and only waits to be noticed by
// whoever inherited it.
func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

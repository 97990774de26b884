//go:build !linux

package ldaptest

import "os/exec"

// dieWithParent does nothing where the system has no such thing; the test's
// clean-up ends the child.
func dieWithParent(*exec.Cmd) {}

// stopped can't tell here.
func stopped(int) bool { return true }

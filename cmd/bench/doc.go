//go:build linux

// Command bench measures a real Gatehouse, with a real OpenLDAP beside it and a
// durable database under it, as an application and its people would use it.
//
// It owns the load and the table that it prints; it leaves everything that is
// measured to the program bin/gatehouse, which it starts as a process of its own
// with configuration and client files like anybody's.
//
// Always true: an operation counts only if its answer was right. Status, state,
// issuer, nonce, signature, subject and claims are looked at every time, and one
// wrong answer fails the run: no server is fast by being wrong.
//
// CPU per operation is the figure to compare. Load, directory and server share
// the machine, so throughput and latency move with the neighbours; CPU time of
// the server's process moves much less.
package main

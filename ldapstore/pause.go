package ldapstore

import (
	"context"
	"runtime"
	"time"
)

// timerGrain is how much later than asked a timer may fire on an idle machine.
const timerGrain = 2 * time.Millisecond

// pause returns after d, or when the context ends. The last stretch is waited for
// awake: a timer is a millisecond late, which tells a stranger with a stopwatch
// that it was a timer.
func pause(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	if d > timerGrain {
		timer := time.NewTimer(d - timerGrain)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil && time.Now().Before(until) {
		runtime.Gosched()
	}
	return context.Cause(ctx)
}

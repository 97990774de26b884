package ldaptest

import "time"

// Lateness measures, from now until the function that it returns is called, by how
// much short pauses last too long altogether. For so long this process did not get
// a processor: a test takes it off before it says that something took too long. The
// function is to be called once.
func Lateness() (total func() time.Duration) {
	const pause, grain = 5 * time.Millisecond, 2 * time.Millisecond
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		var late time.Duration
		for {
			begin := time.Now()
			select {
			case <-stop:
				result <- late
				return
			case <-time.After(pause):
				late += max(0, time.Since(begin)-pause-grain)
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-result
	}
}

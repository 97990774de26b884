//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// result is one line of the table.
type result struct {
	op      operation
	workers int
	done    int
	wrong   int
	firstly error // the first wrong answer
	cpu     time.Duration
	elapsed time.Duration
	took    []time.Duration // of each right answer, sorted
	rss     float64
}

// measure drives one operation with c workers, each waiting for its answer before it
// asks again. It first warms up with the same load, waits until that has ended,
// and only then begins to count, so that the CPU time is that of the operations
// counted and of nothing else.
func measure(ctx context.Context, app *application, op operation, c int, s settings, server *process) (result, error) {
	r := result{op: op, workers: c}
	workers := make([]*worker, c)
	for i := range workers {
		workers[i] = &worker{application: app, number: i}
		if op.prepare == nil {
			continue
		}
		if err := op.prepare(ctx, workers[i]); err != nil {
			return r, fmt.Errorf("preparing: %w", err)
		}
	}
	r.drive(ctx, workers, s.warm)
	r = result{op: op, workers: c, wrong: r.wrong, firstly: r.firstly}
	before, err := server.cpu()
	if err != nil {
		return r, err
	}
	r.drive(ctx, workers, s.measure)
	after, err := server.cpu()
	if err != nil {
		return r, err
	}
	r.cpu, r.rss = after-before, server.rss()
	slices.Sort(r.took)
	return r, ctx.Err()
}

// drive lets the workers repeat the operation for a while.
func (r *result) drive(ctx context.Context, workers []*worker, d time.Duration) {
	var group sync.WaitGroup
	var mu sync.Mutex
	begin := time.Now()
	for _, w := range workers {
		group.Go(func() {
			var took []time.Duration
			var wrong int
			var firstly error
			for time.Since(begin) < d && ctx.Err() == nil {
				t := time.Now()
				if err := r.op.do(ctx, w); err != nil {
					wrong++
					if firstly == nil {
						firstly = err
					}
					if wrong > 100 {
						break // it will not get better
					}
					continue
				}
				took = append(took, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			r.took = append(r.took, took...)
			r.wrong += wrong
			if r.firstly == nil {
				r.firstly = firstly
			}
		})
	}
	group.Wait()
	r.elapsed = time.Since(begin)
	r.done = len(r.took)
}

func head(out io.Writer) {
	fmt.Fprintf(out, "%-22s %2s %9s %7s %7s %8s %8s %9s %6s\n", "operation", "c", "CPU ms/op", "target", "ratio", "p50 ms", "p99 ms", "ops/s", "MiB")
}

func (r result) print(out io.Writer) {
	perOp := 0.0
	if n := r.done + r.wrong; n > 0 {
		perOp = milliseconds(r.cpu) / float64(n)
	}
	fmt.Fprintf(out, "%-22s %2d %9.3f %7.2f %7s %8.2f %8.2f %9.0f %6.0f\n", r.op.name, r.workers, perOp, r.op.target, ratio(perOp, r.op.target),
		r.quantile(0.5), r.quantile(0.99), float64(r.done)/r.elapsed.Seconds(), r.rss)
	if r.wrong > 0 {
		fmt.Fprintf(out, "    WRONG: %d answers, the first: %v\n", r.wrong, r.firstly)
	}
}

func (r result) quantile(q float64) float64 {
	if len(r.took) == 0 {
		return 0
	}
	return milliseconds(r.took[min(len(r.took)-1, int(q*float64(len(r.took))))])
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// ratio says how many times the target a figure is: 1.0x reaches it.
func ratio(got, target float64) string { return fmt.Sprintf("%.1fx", got/target) }

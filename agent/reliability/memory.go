// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
)

// memoryWatch notes the resident memory of a program once a second.
type memoryWatch struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	points []memoryPoint
}

type memoryPoint struct {
	at    time.Time
	bytes float64
}

func watchMemory(ctx context.Context, p *rig.Program) *memoryWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &memoryWatch{cancel: cancel}
	w.wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if now, _ := p.Memory(); now > 0 {
				w.mu.Lock()
				w.points = append(w.points, memoryPoint{time.Now(), float64(now)})
				w.mu.Unlock()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

func (w *memoryWatch) stop() {
	w.cancel()
	w.wg.Wait()
}

// since returns the slope, in bytes per minute by least squares, and the bounds.
func (w *memoryWatch) since(from time.Time) (slope, lowest, highest float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lowest = math.Inf(1)
	var n, sumX, sumY, sumXX, sumXY float64
	for _, p := range w.points {
		if p.at.Before(from) {
			continue
		}
		x := p.at.Sub(from).Minutes()
		n++
		sumX += x
		sumY += p.bytes
		sumXX += x * x
		sumXY += x * p.bytes
		lowest, highest = min(lowest, p.bytes), max(highest, p.bytes)
	}
	if d := n*sumXX - sumX*sumX; d > 0 {
		slope = (n*sumXY - sumX*sumY) / d
	}
	return slope, lowest, highest
}

// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

// Fetch asks a question. It is called by one goroutine at a time.
type Fetch func(ctx context.Context, q Query) (*Data, error)

type answer struct {
	query int // which question it is to
	data  *Data
	err   error
}

// Run shows a model on a screen until q is pressed or ctx ends. The caller closes the
// screen.
func Run(ctx context.Context, m *Model, s *term.Screen, o *term.Out, fetch Fetch) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := s.Keys()
	again, end := term.Continued()
	defer end()
	answers := make(chan answer)
	asked, asking := 0, func() {}
	var since time.Time
	// ask starts a question; an older one is given up.
	ask := func() {
		asking()
		asked++
		since = time.Now()
		n, q := asked, m.Query
		var questionCtx context.Context
		questionCtx, asking = context.WithCancel(ctx)
		go func() {
			a := answer{query: n}
			defer func() {
				// The terminal must be given back whatever happens.
				if cause := recover(); cause != nil {
					a.err = fmt.Errorf("internal error: %v", cause)
				}
				select {
				case answers <- a:
				case <-ctx.Done():
				}
			}()
			a.data, a.err = fetch(questionCtx, q)
		}()
	}
	defer func() { asking() }()
	next := time.NewTimer(m.Interval)
	defer next.Stop()
	// The size is looked at often: not every system tells when it changes.
	size := time.NewTicker(250 * time.Millisecond)
	defer size.Stop()
	ask()
	running := true
	width, height := o.Size()
	for {
		m.Waiting = 0
		if running {
			m.Waiting = time.Since(since)
		}
		if err := s.Show(m.Lines(o, width, height)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again:
			// Whoever stopped it may have left the terminal otherwise.
			if err := s.Resume(); err != nil {
				return err
			}
		case <-size.C:
			width, height = o.Size()
		case <-next.C:
			if !m.Paused && !running {
				running = true
				ask()
			}
			next.Reset(m.Interval)
		case a := <-answers:
			if a.query != asked {
				continue
			}
			running = false
			if a.err != nil {
				m.Err = a.err
			} else if !m.Paused || m.Data == nil || m.Data.Group != a.data.Group {
				m.Set(a.data, time.Now())
			}
		case key, ok := <-keys:
			if !ok {
				return nil // the terminal is gone
			}
			switch m.Key(key, Page(height)) {
			case Quit:
				return nil
			case Redraw:
				s.Redraw()
			case Suspend:
				if err := s.Suspend(); err != nil {
					return err
				}
			case Ask:
				running = true
				ask()
				next.Reset(m.Interval)
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

// progress keeps a line on the terminal current while something takes long. Where the
// standard error is none it says nothing.
type progress struct {
	w    io.Writer
	what string
	stop chan struct{}
	done sync.WaitGroup
	once sync.Once

	mu         sync.Mutex
	sent, size int64
}

// progressAfter is how long something may take without a word.
const progressAfter = 400 * time.Millisecond

func startProgress(in *call, what string) *progress {
	p := &progress{w: in.stderr, what: what, stop: make(chan struct{})}
	if !term.Terminal(in.stderr) {
		return p
	}
	start := time.Now()
	p.done.Go(func() {
		tick := time.NewTicker(progressAfter)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-p.stop:
				if shown {
					_, _ = io.WriteString(p.w, "\r\x1b[K") // only decoration
				}
				return
			case <-tick.C:
				shown = true
				_, _ = io.WriteString(p.w, "\r\x1b[K"+p.line(time.Since(start))) // only decoration
			}
		}
	})
	return p
}

func (p *progress) line(since time.Duration) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("%s, %.0f s", p.what, since.Seconds())
	if p.size > 0 {
		text = fmt.Sprintf("%s, %s of %s", text, render.Bytes(p.sent), render.Bytes(p.size))
	}
	return text
}

// reader counts what is read of r, which has so many bytes.
func (p *progress) reader(r io.Reader, size int64) io.Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = size
	return &countingReader{r, p}
}

// end takes the line away. It may be called more than once.
func (p *progress) end() {
	p.once.Do(func() { close(p.stop) })
	p.done.Wait()
}

type countingReader struct {
	io.Reader
	p *progress
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.p.mu.Lock()
	r.p.sent += int64(n)
	r.p.mu.Unlock()
	return n, err
}

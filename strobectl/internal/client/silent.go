// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrSilent says that a server took a question and then said nothing.
var ErrSilent = errors.New("the server is silent")

// watchdog returns a context that ends when alive is not called for the time of the
// options. A limit of the whole would end what is only large.
func (c *Client) watchdog(ctx context.Context) (watched context.Context, alive, end func()) {
	watched, cancel := context.WithCancelCause(ctx)
	if c.timeout <= 0 {
		return watched, func() {}, func() { cancel(nil) }
	}
	timer := time.AfterFunc(c.timeout, func() { cancel(fmt.Errorf("%w for %s", ErrSilent, c.timeout)) })
	return watched, func() { timer.Reset(c.timeout) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

// living says that something moves whenever it is read.
type living struct {
	io.Reader
	alive func()
}

func (l *living) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	l.alive()
	return n, err
}

// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"net"
	"sync"
	"sync/atomic"
)

// Limit returns a listener that keeps at most MaxConnections connections open,
// and closes those beyond at once: a client that is cut off tries again later,
// one that is left waiting in the queue of the kernel does not know what to do.
func (s *Server) Limit(l net.Listener) net.Listener {
	return &limitedListener{Listener: l, server: s}
}

type limitedListener struct {
	net.Listener
	server *Server
	open   atomic.Int64
}

// Accept implements [net.Listener].
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= int64(l.server.cfg.MaxConnections) {
			l.server.metrics.connections.Inc()
			return &limitedConn{Conn: c, listener: l}, nil
		}
		l.open.Add(-1)
		l.server.metrics.cutOff.Inc()
		_ = c.Close() // nothing was said on it
	}
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	listener *limitedListener
	once     sync.Once
}

// Close implements [net.Conn].
func (c *limitedConn) Close() error {
	c.once.Do(func() {
		c.listener.open.Add(-1)
		c.listener.server.metrics.connections.Dec()
	})
	return c.Conn.Close()
}

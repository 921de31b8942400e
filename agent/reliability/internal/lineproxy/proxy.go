// SPDX-License-Identifier: Apache-2.0

// Package lineproxy is a bad network: it forwards TCP connections, and on request
// breaks, slows or silences them in the ways that networks do. It knows enough of
// HTTP/2 to cut a connection in the middle of a message; what it forwards it does
// not change, so that a peer sees either the truth or nothing.
package lineproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
)

// chunkBytes is how much is read at once.
const chunkBytes = 16 << 10

// Proxy forwards connections to a target. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	shape  shape
	// changed is closed, and replaced, when shape changes.
	changed  chan struct{}
	truncate bool // the next DATA frame is cut in two
	pairs    map[*pair]struct{}
	counts   map[Fault]uint64
}

// shape is how the line behaves at the moment.
type shape struct {
	refuse bool          // new connections are reset
	silent bool          // nothing is forwarded
	delay  time.Duration // every chunk comes late
	rate   int           // bytes per second in each direction, 0: no bound
	slow   bool          // what the client sends is read in drops
}

// Listen starts a proxy on a free loopback port. The target need not be there yet.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{
		listener: l, target: target, changed: make(chan struct{}),
		pairs: map[*pair]struct{}{}, counts: map[Fault]uint64{},
	}
	p.wg.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close ends all connections and waits for all that the proxy runs.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.each(func(c *pair) { c.abort() })
	p.wg.Wait()
	return err
}

// Counts returns how often each fault was injected.
func (p *Proxy) Counts() map[Fault]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

func (p *Proxy) count(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[f]++
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of files, for example
			continue
		}
		client, ok := c.(*net.TCPConn)
		if !ok { // a TCP listener accepts nothing else
			_ = c.Close()
			continue
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	if p.current().refuse {
		reset(client)
		return
	}
	conn, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		reset(client) // what a host without the service does
		return
	}
	server, ok := conn.(*net.TCPConn)
	if !ok {
		reset(client)
		_ = conn.Close()
		return
	}
	c := &pair{proxy: p, client: client, server: server}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	p.mu.Lock()
	closed := p.closed
	p.pairs[c] = struct{}{}
	p.mu.Unlock()
	if closed {
		c.abort()
	}
	var both sync.WaitGroup
	both.Go(c.forward)
	both.Go(c.backward)
	both.Wait()
	c.abort()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// each calls f for every connection.
func (p *Proxy) each(f func(*pair)) {
	p.mu.Lock()
	pairs := make([]*pair, 0, len(p.pairs))
	for c := range p.pairs {
		pairs = append(pairs, c)
	}
	p.mu.Unlock()
	for _, c := range pairs {
		f(c)
	}
}

func (p *Proxy) current() shape {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shape
}

func (p *Proxy) change(f func(*shape)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.shape)
	close(p.changed)
	p.changed = make(chan struct{})
}

// takeTruncation reports whether the caller is to cut its frame.
func (p *Proxy) takeTruncation() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	armed := p.truncate
	p.truncate = false
	return armed
}

// pair is a connection of a client and the one to the server that belongs to it.
type pair struct {
	proxy          *Proxy
	client, server *net.TCPConn
	ctx            context.Context // ends with the pair
	cancel         context.CancelFunc

	mu       sync.Mutex
	halfOpen bool // the server's side is gone, and the client is not told
}

// abort resets both sides.
func (c *pair) abort() {
	c.cancel()
	reset(c.client)
	reset(c.server)
}

// finish closes both sides in the orderly way.
func (c *pair) finish() {
	c.cancel()
	_ = c.client.Close()
	_ = c.server.Close()
}

// forget drops the server's side.
func (c *pair) forget() {
	c.mu.Lock()
	c.halfOpen = true
	c.mu.Unlock()
	reset(c.server)
}

func (c *pair) forgotten() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halfOpen
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // makes Close send RST; it may be closed already
	_ = conn.Close()
}

// forward carries what the client sends.
func (c *pair) forward() {
	var f frames
	buffer := make([]byte, chunkBytes)
	for {
		b := buffer
		if c.proxy.current().slow {
			b = buffer[:slowBytes]
			pause.For(c.ctx, slowPause)
		}
		n, err := c.client.Read(b)
		if c.forgotten() {
			if err != nil {
				c.abort()
				return
			}
			continue // into the void
		}
		if n > 0 && !c.pass(n) {
			continue // it was reset; the next read says so
		}
		middle := f.feed(b[:n])
		if middle >= 0 && c.proxy.takeTruncation() {
			_, _ = c.server.Write(b[:middle])
			// Time for the half to arrive: a reset may overtake it.
			time.Sleep(5 * time.Millisecond)
			c.proxy.count(Truncate)
			c.abort()
			return
		}
		if n > 0 {
			if _, werr := c.server.Write(b[:n]); werr != nil && !c.forgotten() {
				c.finish()
				return
			}
		}
		if err != nil {
			c.finish()
			return
		}
	}
}

// backward carries what the server sends.
func (c *pair) backward() {
	b := make([]byte, chunkBytes)
	for {
		n, err := c.server.Read(b)
		if c.forgotten() {
			return // the client hears nothing; forward waits for its end
		}
		if n > 0 && c.pass(n) {
			if _, werr := c.client.Write(b[:n]); werr != nil {
				c.finish()
				return
			}
		}
		if err != nil {
			c.finish()
			return
		}
	}
}

// pass waits until n bytes may travel. It returns false when the connection ended.
func (c *pair) pass(n int) bool {
	for {
		c.proxy.mu.Lock()
		s, changed := c.proxy.shape, c.proxy.changed
		c.proxy.mu.Unlock()
		if !s.silent {
			wait := s.delay
			if s.rate > 0 {
				wait += time.Duration(n) * time.Second / time.Duration(s.rate)
			}
			return pause.For(c.ctx, wait)
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
			return false
		}
	}
}

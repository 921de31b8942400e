// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"net"
	"sync"
	"testing"
)

// Relay passes connections on to a server, as a network does that may fail. It is
// safe for concurrent use.
type Relay struct {
	// Addr is where to connect to.
	Addr   string
	target string
	mu     sync.Mutex
	down   bool
	left   int64 // bytes to pass on to the client before the network fails; below 0: it does not
	conns  map[net.Conn]struct{}
	wait   sync.WaitGroup
}

// StartRelay starts a relay to an address.
func StartRelay(t testing.TB, target string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start a relay: %v", err)
	}
	r := &Relay{Addr: l.Addr().String(), target: target, left: -1, conns: make(map[net.Conn]struct{})}
	r.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.wait.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.Cut()
		r.wait.Wait()
	})
	return r
}

// DSN returns the address of a database behind the relay.
func (r *Relay) DSN(database string) string {
	return "clickhouse://default@" + r.Addr + "/" + database + "?dial_timeout=2s"
}

// Cut ends all connections and refuses new ones until [Relay.Mend].
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut()
}

func (r *Relay) cut() {
	r.down = true
	for conn := range r.conns {
		_ = conn.Close() // its ends notice
	}
}

// CutAfter cuts once the server has answered so many more bytes. All that was sent
// to it until then has arrived, and what it answers to it is lost.
func (r *Relay) CutAfter(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = bytes
}

// Mend lets connections through again.
func (r *Relay) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down, r.left = false, -1
}

// add remembers a connection. It reports false when the network is down.
func (r *Relay) add(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return false
	}
	r.conns[conn] = struct{}{}
	return true
}

func (r *Relay) remove(conn net.Conn) {
	_ = conn.Close() // it may be closed
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

// spend takes n bytes of an answer and reports whether they get through.
func (r *Relay) spend(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < 0 {
		return !r.down
	}
	if r.left -= int64(n); r.left >= 0 {
		return !r.down
	}
	r.left = 0 // and so all that follows
	r.cut()
	return false
}

// pass connects a client to the server until one of them ends.
func (r *Relay) pass(client net.Conn) {
	defer r.remove(client)
	if !r.add(client) {
		return
	}
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer r.remove(server)
	if !r.add(server) {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		defer server.Close() //nolint:errcheck // the other direction notices
		b := make([]byte, 32<<10)
		for {
			n, err := client.Read(b)
			if _, e := server.Write(b[:n]); e != nil || err != nil {
				return
			}
		}
	})
	b := make([]byte, 32<<10)
	for {
		n, err := server.Read(b)
		if n > 0 && !r.spend(n) {
			break
		}
		if _, e := client.Write(b[:n]); e != nil || err != nil {
			break
		}
	}
	_, _ = client.Close(), server.Close() // whichever ended
	up.Wait()
}

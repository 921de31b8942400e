// SPDX-License-Identifier: Apache-2.0

package lineproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is a server that keeps what it reads and answers with it.
type peer struct {
	listener net.Listener
	got      chan []byte // what each connection sent, when it ended
	errs     chan error
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{l, make(chan []byte, 8), make(chan error, 8)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var b bytes.Buffer
			_, err = io.Copy(c, io.TeeReader(c, &b))
			_ = c.Close()
			p.got <- b.Bytes()
			p.errs <- err
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return p
}

func newProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// echo sends a text and waits for it to come back.
func echo(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("sent %q, got %q, %v", text, b, err)
	}
}

func TestForwards(t *testing.T) {
	s := newPeer(t)
	p := newProxy(t, s.listener.Addr().String())
	c := dial(t, p)
	echo(t, c, "hello")
	big := bytes.Repeat([]byte("0123456789"), 50_000)
	go func() { _, _ = c.Write(big) }()
	b := make([]byte, len(big))
	if _, err := io.ReadFull(c, b); err != nil || !bytes.Equal(b, big) {
		t.Fatalf("what came back differs: %v", err)
	}
	_ = c.Close()
	if got := <-s.got; len(got) != len(big)+5 {
		t.Errorf("the server got %d bytes, want %d", len(got), len(big)+5)
	}
}

func TestDropAndReset(t *testing.T) {
	for fault, want := range map[Fault]error{Drop: io.EOF, Reset: unix.ECONNRESET} {
		s := newPeer(t)
		p := newProxy(t, s.listener.Addr().String())
		c := dial(t, p)
		echo(t, c, "hello")
		p.Inject(t.Context(), fault, 0, 0)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", fault, err, want)
		}
		if got := <-s.got; string(got) != "hello" {
			t.Errorf("%s: the server got %q", fault, got)
		}
		echo(t, dial(t, p), "again")
		if n := p.Counts()[fault]; n != 1 {
			t.Errorf("%s was counted %d times", fault, n)
		}
	}
}

// start injects a fault in the background and returns what ends it.
func start(t *testing.T, p *Proxy, f Fault, size float64) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Inject(ctx, f, time.Hour, size)
	}()
	for p.Counts()[f] == 0 && f != Truncate {
		time.Sleep(time.Millisecond)
	}
	return func() {
		cancel()
		<-done
	}
}

func TestRefuse(t *testing.T) {
	s := newPeer(t)
	p := newProxy(t, s.listener.Addr().String())
	end := start(t, p, Refuse, 0)
	for !p.current().refuse {
		time.Sleep(time.Millisecond)
	}
	// The reset may come before Dial has returned.
	c, err := net.Dial("tcp", p.Address())
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("error %v, want a reset", err)
	}
	end()
	echo(t, dial(t, p), "again")
}

func TestBlackhole(t *testing.T) {
	s := newPeer(t)
	p := newProxy(t, s.listener.Addr().String())
	c := dial(t, p)
	echo(t, c, "hello")
	end := start(t, p, Blackhole, 0)
	for !p.current().silent {
		time.Sleep(time.Millisecond)
	}
	if _, err := io.WriteString(c, "late"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes out of a black hole", n)
	}
	end()
	_ = c.SetReadDeadline(time.Time{})
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "late" {
		t.Errorf("afterwards %q, %v", b, err)
	}
}

func TestHalfOpen(t *testing.T) {
	s := newPeer(t)
	p := newProxy(t, s.listener.Addr().String())
	c := dial(t, p)
	echo(t, c, "hello")
	end := start(t, p, HalfOpen, 0)
	if got := <-s.got; string(got) != "hello" {
		t.Errorf("the server got %q", got)
	}
	if _, err := io.WriteString(c, "lost"); err != nil {
		t.Fatalf("the client was told: %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want silence", err)
	}
	echo(t, dial(t, p), "another connection works")
	end()
}

func TestSlowLines(t *testing.T) {
	for _, f := range []Fault{Delay, SlowReader, Bandwidth} {
		s := newPeer(t)
		p := newProxy(t, s.listener.Addr().String())
		end := start(t, p, f, 0.2)
		for p.current() == (shape{}) {
			time.Sleep(time.Millisecond)
		}
		c := dial(t, p)
		began := time.Now()
		echo(t, c, strings.Repeat("slow but right", 100))
		// A busy host makes it longer, nothing makes it shorter.
		if took := time.Since(began); took < 90*time.Millisecond {
			t.Errorf("%s: there and back in %s", f, took)
		}
		end()
		echo(t, c, "fast again")
		if p.current() != (shape{}) {
			t.Errorf("%s: the line stays %+v", f, p.current())
		}
	}
}

func h2Frame(typ byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), typ, 0, 0, 0, 0, 1}) + payload
}

func TestTruncate(t *testing.T) {
	s := newPeer(t)
	p := newProxy(t, s.listener.Addr().String())
	c := dial(t, p)
	end := start(t, p, Truncate, 0)
	for {
		p.mu.Lock()
		armed := p.truncate
		p.mu.Unlock()
		if armed {
			break
		}
		time.Sleep(time.Millisecond)
	}
	head := string(make([]byte, prefaceBytes)) + h2Frame(4, "settings") + h2Frame(frameData, "short")
	message := h2Frame(frameData, string(bytes.Repeat([]byte("x"), 1000)))
	if _, err := io.WriteString(c, head+message); err != nil {
		t.Fatal(err)
	}
	want := len(head) + frameHeaderBytes + 500
	if got := <-s.got; len(got) != want {
		t.Errorf("the server got %d bytes, want %d", len(got), want)
	}
	for {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("error %v, want a reset", err)
			}
			break
		}
	}
	end()
	if n := p.Counts()[Truncate]; n != 1 {
		t.Errorf("counted %d truncations", n)
	}
}

// TestFrames feeds the same bytes in pieces of every size.
func TestFrames(t *testing.T) {
	t.Parallel()
	text := string(make([]byte, prefaceBytes)) + h2Frame(4, "") + h2Frame(1, "headers of some length") + h2Frame(frameData, string(make([]byte, 200)))
	want := len(text) - 100
	for size := 1; size <= len(text); size++ {
		var f frames
		at, got := 0, -1
		r := io.Reader(bytes.NewReader([]byte(text)))
		if size == 1 {
			r = iotest.OneByteReader(r)
		}
		b := make([]byte, size)
		for {
			n, err := r.Read(b)
			if m := f.feed(b[:n]); m >= 0 {
				if got >= 0 {
					t.Errorf("pieces of %d: two middles", size)
				}
				got = at + m
			}
			at += n
			if err != nil {
				break
			}
		}
		if got != want {
			t.Errorf("pieces of %d: the middle is at %d, want %d", size, got, want)
		}
	}
}

func TestStormEndsAndHeals(t *testing.T) {
	s := newPeer(t)
	p := newProxy(t, s.listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Storm(ctx, 1, 2*time.Millisecond, 8*time.Millisecond)
	}()
	// Nothing is sent that could be truncated.
	for len(p.Counts()) < len(All)-1 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if counts := p.Counts(); len(counts) < len(All)-1 {
		t.Errorf("not all faults happened: %v", counts)
	}
	cancel()
	<-done
	echo(t, dial(t, p), "well again")
}

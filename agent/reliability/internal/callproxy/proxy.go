// SPDX-License-Identifier: Apache-2.0

// Package callproxy is a bad server in front of a good one: it forwards unary gRPC
// calls of any service, and on request repeats, loses, holds, reorders and refuses
// them. Messages pass as bytes; only their sizes are looked at.
package callproxy

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

const maxMessageBytes = 64 << 20

// Observer is told of every call that is sent on to the server, before and after:
// the second time with done set, and the error of the answer. It must not keep request.
type Observer func(method string, request []byte, done bool, err error)

// Proxy forwards calls to a target. It is safe for concurrent use.
type Proxy struct {
	observe  Observer
	listener net.Listener
	server   *grpc.Server
	conn     *grpc.ClientConn
	wg       sync.WaitGroup // the server and copies that are sent later

	mu      sync.Mutex
	plan    *Plan
	random  *rand.Rand // set with plan
	lasting Fault
	counts  map[Fault]uint64
	calls   uint64
}

// Listen starts a proxy on a free loopback port. The target need not be there yet.
// observe may be nil.
func Listen(target string, observe Observer) (*Proxy, error) {
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(zstdgrpc.Name), grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)))
	if err != nil {
		return nil, fmt.Errorf("prepare connection to %s: %w", target, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{observe: observe, listener: l, conn: conn, counts: map[Fault]uint64{}}
	p.server = grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}), grpc.UnknownServiceHandler(p.handle), grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	p.wg.Go(func() { _ = p.server.Serve(l) }) // ends with Close
	return p, nil
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close ends all calls and waits for all that the proxy runs.
func (p *Proxy) Close() error {
	p.server.Stop()
	err := p.conn.Close()
	p.wg.Wait()
	return err
}

// Settle waits until no copy of a request is held any more. The server must be
// reachable, and no plan be in force.
func (p *Proxy) Settle(timeout time.Duration) error {
	end := time.Now().Add(timeout)
	for p.heldCopies() > 0 {
		if time.Now().After(end) {
			return fmt.Errorf("%d copies of requests have not arrived after %s", p.heldCopies(), timeout)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// held is the pseudo-fault that counts copies which wait.
const held Fault = "held"

func (p *Proxy) heldCopies() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[held]
}

// Counts returns how often each fault happened to a call, and the number of calls.
func (p *Proxy) Counts() (faults map[Fault]uint64, calls uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	faults = maps.Clone(p.counts)
	delete(faults, held)
	return faults, p.calls
}

func (p *Proxy) count(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[f]++
}

// handle takes one call of any method.
func (p *Proxy) handle(_ any, stream grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "proxy: a call without a method")
	}
	request := &message{}
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	answer, err := p.call(outgoing(stream.Context()), method, request)
	if err != nil {
		return err
	}
	return stream.SendMsg(answer)
}

// outgoing hands on the metadata that is the application's.
func outgoing(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	for key := range md {
		if strings.HasPrefix(key, ":") || strings.HasPrefix(key, "grpc-") || key == "content-type" || key == "user-agent" {
			delete(md, key)
		}
	}
	return metadata.NewOutgoingContext(ctx, md)
}

func (p *Proxy) forward(ctx context.Context, method string, request *message) (*message, error) {
	if p.observe != nil {
		p.observe(method, request.bytes, false, nil)
	}
	answer := &message{}
	err := p.conn.Invoke(ctx, method, request, answer)
	if p.observe != nil {
		p.observe(method, request.bytes, true, err)
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// call forwards a call, with the faults of the moment.
func (p *Proxy) call(ctx context.Context, method string, request *message) (*message, error) {
	if err := p.refuse(len(request.bytes)); err != nil {
		return nil, err
	}
	fault, size, coin := p.draw()
	if fault == "" {
		return p.forward(ctx, method, request)
	}
	p.count(fault)
	switch fault {
	case Duplicate:
		return p.twice(ctx, method, request, coin)
	case LostAnswer:
		_, _ = p.forward(ctx, method, request) // lost is lost
		return nil, status.Error(codes.Unavailable, "proxy: the answer was lost")
	case Reorder:
		p.sendLater(ctx, method, request, time.Duration(size*float64(maxHeld)))
		return nil, status.Error(codes.Unavailable, "proxy: the request is on its way")
	case Late:
		pause.For(ctx, time.Duration(size*float64(time.Second)))
		return p.forward(ctx, method, request)
	case Internal:
		if coin {
			_, _ = p.forward(ctx, method, request) // lost is lost
		}
		return nil, status.Error(codes.Internal, "proxy: something failed")
	default: // Overrun
		if coin {
			_, _ = p.forward(ctx, method, request) // too late is lost
		}
		pause.For(ctx, p.overrun())
		return nil, status.Error(codes.DeadlineExceeded, "proxy: it took too long")
	}
}

// maxHeld is the longest that a reordered request is held: longer than an agent
// waits before it repeats, so that some come before the repetition and some after it.
const maxHeld = 4 * time.Second

// twice sends a request two times and returns one of the answers.
func (p *Proxy) twice(ctx context.Context, method string, request *message, together bool) (*message, error) {
	if !together {
		if first, err := p.forward(ctx, method, request); err == nil {
			_, _ = p.forward(ctx, method, request) // answered once
			return first, nil
		}
		return p.forward(ctx, method, request)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.forward(ctx, method, request) // answered once
	}()
	answer, err := p.forward(ctx, method, request)
	<-done
	return answer, err
}

// sendLater sends a request once more, after its caller has gone.
func (p *Proxy) sendLater(ctx context.Context, method string, request *message, after time.Duration) {
	p.count(held)
	ctx = context.WithoutCancel(ctx)
	p.wg.Go(func() {
		time.Sleep(after)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, _ = p.forward(ctx, method, request) // nobody waits for the answer
		p.mu.Lock()
		defer p.mu.Unlock()
		p.counts[held]--
	})
}

func (p *Proxy) overrun() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan == nil {
		return 0
	}
	return p.plan.Overrun
}

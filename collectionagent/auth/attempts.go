// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// attemptBurst is how many failed attempts of an address are answered in full.
	attemptBurst = 20
	// attemptEvery is how soon there is one more.
	attemptEvery = 3 * time.Second
	// maxAddresses bounds the table.
	maxAddresses = 4096
)

// attempts counts failed attempts by client address. Past the limit they are
// answered without a word in the log. Tokens cannot be guessed at any speed, so
// this is there to keep a broken or hostile client from filling the log, and a
// right token is never refused for the wrong ones of others behind the same
// address. It is safe for concurrent use.
type attempts struct {
	mu      sync.Mutex
	clients map[netip.Addr]*client
	// rest is shared by all addresses while the table is full.
	rest client
}

// client is when an address has all its attempts back.
type client struct{ full time.Time }

func newAttempts() *attempts { return &attempts{clients: make(map[netip.Addr]*client)} }

// allow counts a failed attempt and reports whether it is within the limit;
// otherwise it returns how long to wait for the next.
func (a *attempts) allow(address netip.Addr, now time.Time) (ok bool, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.client(wholeSite(address), now)
	if c.full.Before(now) {
		c.full = now
	}
	if debt := c.full.Sub(now) + attemptEvery; debt > attemptBurst*attemptEvery {
		return false, debt - attemptBurst*attemptEvery
	}
	c.full = c.full.Add(attemptEvery)
	return true, 0
}

// client returns the entry of an address. The lock is held.
func (a *attempts) client(address netip.Addr, now time.Time) *client {
	if c := a.clients[address]; c != nil {
		return c
	}
	if len(a.clients) >= maxAddresses {
		for k, c := range a.clients {
			if !c.full.After(now) {
				delete(a.clients, k) // has all its attempts back
			}
		}
		if len(a.clients) >= maxAddresses {
			return &a.rest
		}
	}
	c := &client{full: now}
	a.clients[address] = c
	return c
}

// wholeSite returns what stands for all addresses that one client can choose
// from: with IPv6 that is a network of 64 bits.
func wholeSite(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if p, err := address.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return address
}

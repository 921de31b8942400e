// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	sessionIdle     = 12 * time.Hour
	sessionAbsolute = 7 * 24 * time.Hour
	maxSessions     = 10_000
	// maxTokenSessions keeps the holders of one token from ending the sessions of others.
	maxTokenSessions = 200
)

// session is a login. It is good as long as its token is.
type session struct {
	tokenID       string
	secret        Digest // of the token, so that a rotation ends the session as well
	created, used time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= sessionIdle || now.Sub(s.created) >= sessionAbsolute
}

// sessions are the logins of people. They are in memory only: a restart ends
// them. It is safe for concurrent use.
type sessions struct {
	mu sync.Mutex
	// byID has the digests of the IDs, so that looking one up takes no time that
	// tells about another.
	byID map[Digest]*session
	// evicted counts those that ended to make room, by what was full: token or server.
	evicted *prometheus.CounterVec
}

func newSessions(evicted *prometheus.CounterVec) *sessions {
	return &sessions{byID: make(map[Digest]*session), evicted: evicted}
}

// create returns the ID of a new session.
func (s *sessions) create(tokenID string, secret Digest, now time.Time) string {
	id, key := newSecret()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(tokenID, now)
	s.byID[key] = &session{tokenID: tokenID, secret: secret, created: now, used: now}
	return id
}

// makeRoom removes the sessions that are over, and the ones that were not used
// for the longest while there are too many. The lock is held.
func (s *sessions) makeRoom(tokenID string, now time.Time) {
	ofToken := 0
	var oldest, oldestOfToken Digest
	older := func(a, b Digest) bool {
		other, ok := s.byID[b]
		return !ok || s.byID[a].used.Before(other.used)
	}
	for key, e := range s.byID {
		if e.over(now) {
			delete(s.byID, key)
			continue
		}
		if older(key, oldest) {
			oldest = key
		}
		if e.tokenID == tokenID {
			ofToken++
			if older(key, oldestOfToken) {
				oldestOfToken = key
			}
		}
	}
	switch {
	case ofToken >= maxTokenSessions:
		delete(s.byID, oldestOfToken)
		s.evicted.WithLabelValues("token").Inc()
	case len(s.byID) >= maxSessions:
		delete(s.byID, oldest)
		s.evicted.WithLabelValues("server").Inc()
	}
}

// use returns the token of a session, and counts as use of it.
func (s *sessions) use(id string, now time.Time) (tokenID string, secret Digest, ok bool) {
	key := Digest(sha256.Sum256([]byte(id)))
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[key]
	if e == nil {
		return "", Digest{}, false
	}
	if e.over(now) {
		delete(s.byID, key)
		return "", Digest{}, false
	}
	e.used = now
	return e.tokenID, e.secret, true
}

// end ends a session.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(id)))
}

// len returns how many there are.
func (s *sessions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

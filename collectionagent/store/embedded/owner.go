// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// ownerName is the object that says whose a prefix is.
const ownerName = "OWNER.json"

// errForeign is returned (wrapped) when a prefix is another store's.
var errForeign = errors.New("the prefix belongs to another store: give each store one of its own, " +
	"or remove the object " + ownerName + " if that store is gone for good")

// errTakenOver is returned when another process has the same store open elsewhere.
var errTakenOver = errors.New("another process that runs on a copy of this data directory has taken the prefix over: " +
	"stop one of the two; this one puts no more blocks into object storage and removes none until it is started again")

// owner is the claim of a store to a prefix.
type owner struct {
	id  string // of the store, hex
	run string // of the process, hex
	// claimed says that the marker has been seen with id and run, last at checked.
	claimed bool
	checked time.Time
	// claiming is held while the marker is looked at.
	claiming sync.Mutex
}

// ownerMark is the content of the marker.
type ownerMark struct {
	Store string    `json:"store"`
	Run   string    `json:"run"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// loadOwner reads the name of the store in object storage, and gives it one.
func (s *Store) loadOwner() error {
	if s.remote == nil {
		return nil
	}
	id, err := get(s.db, []byte(keyOwner))
	if err != nil {
		return err
	}
	if len(id) != 16 {
		id = make([]byte, 16)
		_, _ = rand.Read(id) // cannot fail
		if err := s.db.Set([]byte(keyOwner), id, pebble.Sync); err != nil {
			return fmt.Errorf("write name of the store: %w", err)
		}
	}
	var run [8]byte
	_, _ = rand.Read(run[:]) // cannot fail
	s.remote.owner.id, s.remote.owner.run = hex.EncodeToString(id), hex.EncodeToString(run[:])
	return nil
}

// recheckOwner is how long a look at the marker holds.
const recheckOwner = time.Minute

// own makes sure that the prefix is this store's and that no other process has
// taken it over.
func (r *remote) own(ctx context.Context) error {
	o := &r.owner
	o.claiming.Lock()
	defer o.claiming.Unlock()
	if o.claimed && time.Since(o.checked) < recheckOwner {
		return nil
	}
	host, _ := os.Hostname() // only for people
	mine, err := json.Marshal(ownerMark{Store: o.id, Run: o.run, Host: host, Since: time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("claim prefix: %w", err)
	}
	for range 3 {
		b, err := r.bucket.Get(ctx, ownerName, 64<<10)
		if errors.Is(err, objects.ErrNotFound) {
			err = r.bucket.PutNew(ctx, ownerName, mine)
			if err == nil {
				o.claimed, o.checked = true, time.Now()
				return nil
			}
			if errors.Is(err, objects.ErrExists) {
				continue // look whose it is
			}
		}
		if err != nil {
			return err
		}
		var m ownerMark
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%w: object %s does not read: %w", errForeign, ownerName, err)
		}
		switch {
		case m.Store != o.id:
			return fmt.Errorf("%w (it is of a store on host %q since %s)", errForeign, m.Host, m.Since.Format(time.DateTime))
		case m.Run == o.run:
		case o.claimed:
			return errTakenOver
		default: // of the process before this one
			if err := r.bucket.Put(ctx, ownerName, newSeeker(mine), int64(len(mine))); err != nil {
				return err
			}
		}
		o.claimed, o.checked = true, time.Now()
		return nil
	}
	return fmt.Errorf("claim prefix: %w", objects.ErrAway)
}

// claimObjects claims the prefix at the start. A storage that is away is no reason not to
// start, one that is another's is; so is one that refuses access, unless blocks are
// there already, when it did not use to.
func (s *Store) claimObjects() error {
	if s.remote == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.working, s.cfg.objectClaim)
	defer cancel()
	err := s.remote.own(ctx)
	used := false
	for _, b := range s.blocks {
		used = used || b.info.Remote
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errForeign), errors.Is(err, objects.ErrDenied) && !used:
		return fmt.Errorf("object storage %s: %w", s.cfg.Objects, err)
	}
	s.objectTrouble(err)
	return nil
}

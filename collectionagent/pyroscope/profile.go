// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/pyroscope/types"
)

// identity are the labels that say which process samples are of.
var identity = []string{
	store.LabelService, store.LabelHost, store.LabelHostID, store.LabelNamespace, store.LabelPod, store.LabelContainer, store.LabelProcess, store.LabelPID,
}

// windows are how long a profile may be. An ID holds the number of one; none may change its place.
var windows = []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour}

// manyWindows is how many profiles of a process a long range is made of at most, where a longer window
// will do.
const manyWindows = 1000

// window returns how long the profiles of a range are. They are not longer than a step, which would leave
// steps without any, unless that made too many.
func window(s *query.Selection, step time.Duration) time.Duration {
	span := time.Duration(s.To - s.From)
	best := len(windows) - 1
	for best > 0 && span/windows[best-1] <= manyWindows {
		best--
	}
	for best > 0 && windows[best] > step && span/windows[best-1] < query.MaxBuckets-1 {
		best--
	}
	return windows[best]
}

// profileHash is how many bytes of an ID tell processes apart.
const profileHash = 11

// profileID returns the ID of what a process used in a window, in the form of a UUID: the number of
// the window's length, the second that it starts at, and a hash of the values of [identity].
func profileID(start libpf.UnixTimeNs, width time.Duration, process []string) string {
	var id [16]byte
	id[0] = byte(slices.Index(windows, width))                                  //nolint:gosec // every width is one of windows
	binary.BigEndian.PutUint32(id[1:], uint32(int64(start)/int64(time.Second))) //nolint:gosec // until 2106
	hash := hashOf(process)
	copy(id[len(id)-profileHash:], hash[:])
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// hashOf returns the hash of a process.
func hashOf(process []string) (hash [profileHash]byte) {
	sum := sha256.Sum256([]byte(strings.Join(process, "\x00")))
	copy(hash[:], sum[:])
	return hash
}

var errProfileID = errors.New("expected the ID of a profile, as exemplars have it: 32 hexadecimal digits with dashes")

// parseProfileID is the inverse of profileID.
func parseProfileID(text string) (start libpf.UnixTimeNs, width time.Duration, process [profileHash]byte, err error) {
	id, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(id) != 16 || int(id[0]) >= len(windows) {
		return 0, 0, process, errProfileID
	}
	start = libpf.UnixTimeNs(binary.BigEndian.Uint32(id[1:])) * libpf.UnixTimeNs(time.Second)
	copy(process[:], id[len(id)-profileHash:])
	return start, windows[id[0]], process, nil
}

// profiles returns a selection for each of the profiles, within what is selected but for the time,
// which their IDs tell; what is selected without IDs.
func (q *asked) profiles(ctx context.Context, s *query.Selection, ids []string) ([]*query.Selection, error) {
	if len(ids) == 0 {
		return []*query.Selection{s}, nil
	}
	if len(ids) > maxIDs {
		return nil, api.BadParameter("profile_id_selector", fmt.Errorf("more than %d IDs", maxIDs))
	}
	type profileOf struct {
		start libpf.UnixTimeNs
		width time.Duration
		hash  [profileHash]byte
	}
	seen := map[profileOf]struct{}{}
	var out []*query.Selection
	for i, id := range ids {
		start, width, hash, err := parseProfileID(id)
		if err != nil {
			return nil, api.BadParameter(fmt.Sprintf("profile_id_selector[%d]", i), err)
		}
		key := profileOf{start, width, hash}
		if _, again := seen[key]; again {
			continue // it counts once, however it is written
		}
		seen[key] = struct{}{}
		one := *s
		one.From, one.To = start, start+libpf.UnixTimeNs(width)
		whole := one // whatever the stacks are
		whole.Stacks = query.StackFilter{}
		sets, err := q.Series(ctx, &whole, identity, maxSets)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(sets.Sets, func(set query.LabelSet) bool { return hashOf(set.Values) == hash })
		if at < 0 {
			continue
		}
		one.Matchers = slices.Clone(s.Matchers)
		for j, value := range sets.Sets[at].Values {
			m, err := store.NewMatcher(identity[j], store.MatchEqual, value)
			if err != nil {
				return nil, fmt.Errorf("select profile: %w", err)
			}
			one.Matchers = append(one.Matchers, m)
		}
		out = append(out, &one)
	}
	return out, nil
}

// nobody returns a matcher that no series meets.
func nobody() *store.Matcher {
	return &store.Matcher{Name: store.LabelHostID, Op: store.MatchEqual, Value: "\x00"}
}

// processLabels returns the labels of a process that its group does not have.
func (q *asked) processLabels(g *grouping, process []string) []*types.LabelPair {
	var names, values []string
	for i, name := range identity {
		if !slices.Contains(g.labels, name) {
			names, values = append(names, name), append(values, process[i])
		}
	}
	pairs := q.pairs(names, values)
	sortPairs(pairs)
	return pairs
}

// grouped splits the values of a query that groups by g and by process.
func grouped(g *grouping) (labels []string, split func(values []string) (group, process []string)) {
	labels = slices.Clone(g.labels)
	at := make([]int, len(identity))
	for i, name := range identity {
		if at[i] = slices.Index(labels, name); at[i] < 0 {
			at[i] = len(labels)
			labels = append(labels, name)
		}
	}
	process := make([]string, len(identity))
	return labels, func(values []string) (_, _ []string) {
		for i, j := range at {
			process[i] = values[j]
		}
		return values[:len(g.labels)], process
	}
}

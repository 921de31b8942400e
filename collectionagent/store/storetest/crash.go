// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Variables that tell the child what to do.
const (
	envDir    = "STORETEST_CRASH_DIR"
	envFirst  = "STORETEST_CRASH_FIRST"  // first sequence to use
	envRepeat = "STORETEST_CRASH_REPEAT" // sequences whose fate is unknown
	envKnown  = "STORETEST_CRASH_KNOWN"  // sequences that were acknowledged
)

// crashSamples is how many samples a batch of the crash test has.
const crashSamples = 200

// Crash starts the test binary again as a child that writes to the store from
// several goroutines, kills it with SIGKILL at a random moment, and does so
// again on the same directory, round after round. At the end every batch that
// was acknowledged must be there exactly once, and every other one once or not
// at all. The package's TestMain must call [CrashChild] first.
func Crash(t *testing.T, rounds int, open Open) {
	t.Helper()
	CrashAfter(t, rounds, nil, open)
}

// CrashAfter is [Crash] with kills that wait until the child did what they are to
// interrupt: due is asked after each acknowledgement whether that has happened since it was
// asked before, and has to say so in every round.
func CrashAfter(t *testing.T, rounds int, due func() bool, open Open) {
	t.Helper()
	dir := t.TempDir()
	acked := make(map[string]map[uint64]bool)
	for _, kind := range []string{"A", "P"} {
		acked[kind] = make(map[uint64]bool)
	}
	first := uint64(1)
	var unknown []uint64
	for round := range rounds {
		started := crashRound(t, dir, first, unknown, acked, due)
		unknown = unknown[:0]
		for seq := uint64(1); seq < started; seq++ {
			if !acked["A"][seq] || !acked["P"][seq] {
				unknown = append(unknown, seq)
			}
		}
		t.Logf("round %d: %d batches acknowledged, %d unknown", round, len(acked["A"]), len(unknown))
		first = started
	}
	if len(acked["A"]) < rounds || len(acked["P"]) < rounds {
		t.Fatalf("only %d and %d batches were acknowledged in %d rounds", len(acked["A"]), len(acked["P"]), rounds)
	}
	s := open(t, dir)
	got := make(map[uint64]int64)
	all, _ := rows(t, s, everything())
	for _, r := range all {
		got[r.Stack.Hi()] += r.Count
	}
	for seq := uint64(1); seq < first; seq++ {
		if n := got[seq]; n != crashSamples && (n != 0 || acked["A"][seq]) {
			t.Errorf("batch %d (acknowledged: %v) has %d samples, want %d", seq, acked["A"][seq], n, crashSamples)
		}
	}
	if want, l := sum(got), crashLedger(t.Context(), s); l != want {
		t.Errorf("the ledger has %d samples, the store %d", l, want)
	}
	for seq := range acked["P"] {
		st := crashStack(seq)
		found, err := s.Stacks(t.Context(), "default", []libpf.TraceHash{st.Hash})
		if err != nil || len(found) != 1 {
			t.Errorf("definition %d was acknowledged but is not there (error %v)", seq, err)
		}
	}
	for seq := range acked["A"] {
		if duplicate := mustAppend(t, s, crashBatch(seq)); !duplicate {
			t.Errorf("batch %d was acknowledged and is taken for new", seq)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// crashRound runs a child until it is killed and returns the first sequence
// that it cannot have used.
func crashRound(t *testing.T, dir string, first uint64, unknown []uint64, acked map[string]map[uint64]bool, due func() bool) uint64 {
	t.Helper()
	known := slices.Sorted(maps.Keys(acked["A"]))
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	known = known[:min(len(known), 20)]
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envDir+"="+dir, envFirst+"="+strconv.FormatUint(first, 10),
		envRepeat+"="+formatList(unknown), envKnown+"="+formatList(known))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe from child: %v", err)
	}
	if due != nil {
		due() // what happened until now is not of this round
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start child: %v", err)
	}
	next := first
	killAfter := 1 + rand.IntN(300) // acknowledgements
	killed := false
	var overdue time.Time
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		seq, err := strconv.ParseUint(rest, 10, 64)
		switch {
		case kind == "S" && err == nil:
			next = max(next, seq+1)
		case acked[kind] != nil && err == nil:
			acked[kind][seq] = true
		default:
			t.Errorf("child: %s", lines.Text())
		}
		if n < killAfter || killed {
			continue
		}
		if overdue.IsZero() {
			overdue = time.Now().Add(time.Minute)
		}
		reached := due == nil || due()
		late := !reached && time.Now().After(overdue)
		if late {
			t.Error("the child did not get to what the kill is to interrupt within a minute")
		}
		if reached || late {
			killed = true
			// Not at the moment of an acknowledgement, but at any.
			time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("read from child: %v", err)
	}
	if err := cmd.Wait(); !killed {
		t.Fatalf("child ended by itself: %v", err)
	}
	return next
}

func formatList(list []uint64) string {
	var b strings.Builder
	for _, n := range list {
		fmt.Fprintf(&b, "%d ", n)
	}
	return b.String()
}

func parseList(s string) (list []uint64) {
	for f := range strings.FieldsSeq(s) {
		if n, err := strconv.ParseUint(f, 10, 64); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// crashBatch returns the batch with the given sequence; always the same one.
func crashBatch(seq uint64) *store.Batch {
	b := simple(seq, crashSamples)
	b.Series[0].TID = libpf.TID(seq % 5)
	return b
}

// sum returns the sum of the values.
func sum(m map[uint64]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// crashLedger returns what the ledgers say is stored, -1 when they cannot be read.
func crashLedger(ctx context.Context, s store.Store) (n int64) {
	ledgers, err := s.RunLedgers(ctx, "default")
	if err != nil {
		return -1
	}
	for _, l := range ledgers {
		n += int64(l.Stored) //nolint:gosec // of a test
	}
	return n
}

// crashStack returns the definition with the given sequence.
func crashStack(seq uint64) store.Stack {
	frames := []libpf.Frame{{Type: libpf.NativeFrame, AddressOrLineno: libpf.AddressOrLineno(seq)}}
	return store.Stack{Hash: libpf.HashTrace(frames), Frames: frames}
}

// CrashChild does the child's work when the process is the child of [Crash],
// until it is killed; else it returns at once.
func CrashChild(open func(dir string) (store.Store, error)) {
	dir := os.Getenv(envDir)
	if dir == "" {
		return
	}
	// Should the parent die, so does the pipe, and with the next line the child.
	c := &crashChild{out: os.Stdout}
	s, err := open(dir)
	if err != nil {
		c.say("open: %v", err)
		os.Exit(1)
	}
	c.store = s
	c.run()
}

type crashChild struct {
	mu    sync.Mutex
	out   io.Writer
	store store.Store
}

func (c *crashChild) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintf(c.out, format+"\n", args...); err != nil {
		os.Exit(1)
	}
}

func (c *crashChild) run() {
	ctx := context.Background()
	stored := make(map[uint64]int64)
	_, err := c.store.Select(ctx, everything(), func(r *store.Row) bool { stored[r.Stack.Hi()] += r.Count; return true })
	if want, l := sum(stored), crashLedger(ctx, c.store); err != nil || l != want {
		c.say("after the crash the ledger has %d samples, the store %d (error %v)", l, want, err)
	}
	for _, seq := range parseList(os.Getenv(envKnown)) {
		if duplicate, err := c.store.Append(ctx, crashBatch(seq)); err != nil || !duplicate {
			c.say("acknowledged batch %d is new after the crash (error %v)", seq, err)
		}
	}
	for _, seq := range parseList(os.Getenv(envRepeat)) {
		c.write(ctx, seq)
	}
	first, _ := strconv.ParseUint(os.Getenv(envFirst), 10, 64)
	var next atomic.Uint64
	next.Store(first - 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				c.write(ctx, next.Add(1))
			}
		})
	}
	wg.Wait()
}

// write stores one batch and one definition, announcing and acknowledging both.
func (c *crashChild) write(ctx context.Context, seq uint64) {
	c.say("S %d", seq)
	d := &store.Definitions{
		ID:      store.BatchID{Project: "default", HostID: "h", Type: store.BatchStacks, Sequence: seq},
		Project: "default", Stacks: []store.Stack{crashStack(seq)},
	}
	if _, err := c.store.Put(ctx, d); err != nil {
		c.say("put %d: %v", seq, err)
	} else {
		c.say("P %d", seq)
	}
	if _, err := c.store.Append(ctx, crashBatch(seq)); err != nil {
		c.say("append %d: %v", seq, err)
	} else {
		c.say("A %d", seq)
	}
}

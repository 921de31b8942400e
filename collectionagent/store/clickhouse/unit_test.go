// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// matchAnchored matches as the server's match function does, which finds a match
// anywhere and lets a dot match a line feed.
func matchAnchored(pattern, value string) (bool, error) {
	re, err := regexp.Compile("(?s:" + pattern + ")")
	if err != nil {
		return false, err
	}
	return re.MatchString(value), nil
}

// TestWinner checks which of several inserts of a batch counts.
func TestWinner(t *testing.T) {
	for name, c := range map[string]struct {
		list []attempt
		want insertID
	}{
		"none":                  {nil, 0},
		"pending":               {[]attempt{{ins: 1}, {ins: 2, alone: true}}, 0},
		"one":                   {[]attempt{{ins: 1}, {ins: 2, committed: true}}, 2},
		"group before alone":    {[]attempt{{ins: 1, alone: true, committed: true}, {ins: 9, committed: true}}, 9},
		"alone, group pending":  {[]attempt{{ins: 1, alone: true, committed: true}, {ins: 9}}, 1},
		"first of two alone":    {[]attempt{{ins: 5, alone: true, committed: true}, {ins: 4, alone: true, committed: true}}, 4},
		"alone and one pending": {[]attempt{{ins: 5, alone: true, committed: true}, {ins: 4, alone: true}}, 5},
	} {
		for range 5 {
			if got := winnerOf(c.list); got != c.want {
				t.Errorf("%s: %d, want %d", name, got, c.want)
			}
			rand.Shuffle(len(c.list), func(i, j int) { c.list[i], c.list[j] = c.list[j], c.list[i] })
		}
	}
}

// TestPieces splits random ranges and checks that nothing is missing, doubled or
// taken from a roll-up that does not have it.
func TestPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		from := rnd.Int64N(10 * hourMs)
		to := from + 1 + rnd.Int64N(10*hourMs)
		if rnd.IntN(3) == 0 {
			from, to = from/minuteMs*minuteMs, ceilTo(to, minuteMs)
		}
		if rnd.IntN(3) == 0 {
			from, to = from/hourMs*hourMs, ceilTo(to, hourMs)
		}
		table := []string{tableMinutes, tableHours}[rnd.IntN(2)]
		sealed := make(map[int64]bool)
		var all pieces
		at := from
		for hour := from / hourMs; hour*hourMs < to; hour++ {
			if rnd.IntN(2) == 0 {
				continue
			}
			sealed[hour] = true
			a, b := max(hour*hourMs, from), min((hour+1)*hourMs, to)
			all.add(tableSamples, at, a)
			all.sealed(table, a, b)
			at = b
		}
		all.add(tableSamples, at, to)
		at = from
		for _, p := range all {
			if p.from != at || p.to <= p.from {
				t.Fatalf("pieces of [%d, %d) do not follow on each other: %v", from, to, all)
			}
			at = p.to
			width := int64(widthOf(p.table) / time.Millisecond)
			if p.from%width != 0 && p.table != tableSamples || p.to%width != 0 && p.table != tableSamples {
				t.Fatalf("piece %v cuts a bucket", p)
			}
			for hour := p.from / hourMs; hour*hourMs < p.to; hour++ {
				if p.table != tableSamples && !sealed[hour] {
					t.Fatalf("piece %v reads hour %d, which is not sealed", p, hour)
				}
			}
		}
		if at != to {
			t.Fatalf("pieces of [%d, %d) end at %d", from, to, at)
		}
	}
}

// TestOldPieces checks what is read where samples have expired.
func TestOldPieces(t *testing.T) {
	var all pieces
	all.old(tableHours, hourMs/2, 3*hourMs)
	if want := (pieces{{tableMinutes, hourMs / 2, hourMs}, {tableHours, hourMs, 3 * hourMs}}); !slices.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
	all = nil
	all.old(tableMinutes, 5, hourMs)
	if want := (pieces{{tableMinutes, 5, hourMs}}); !slices.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
}

// TestQueueBound checks that waiting batches do not take more memory than allowed,
// and that one batch is queued once.
func TestQueueBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		q.init(100)
		make1 := func(seq uint64, bytes int64) *item {
			return &item{id: store.BatchID{Sequence: seq}, bytes: bytes, done: make(chan struct{})}
		}
		a := make1(1, 90)
		if other, err := q.push(t.Context(), a); other != nil || err != nil {
			t.Fatal(other, err)
		}
		if other, err := q.push(t.Context(), make1(1, 90)); other != a || err != nil {
			t.Fatalf("the same batch: %v, %v", other, err)
		}
		if _, err := q.push(t.Context(), make1(2, 20)); !errors.Is(err, store.ErrBusy) {
			t.Fatalf("no memory: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := q.push(ctx, make1(2, 20)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("context ended: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			for _, i := range q.take(1000) {
				q.finish(i, false, nil)
			}
		}()
		b := make1(2, 1000) // more than all memory: goes alone
		if other, err := q.push(t.Context(), b); other != nil || err != nil {
			t.Fatal(other, err)
		}
		<-a.done
		if n, bytes := q.waiting(); n != 1 || bytes != 1000 {
			t.Errorf("%d wait with %d bytes", n, bytes)
		}
		q.close()
		if _, err := q.push(t.Context(), make1(3, 1)); !errors.Is(err, errClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestWriteErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{&proto.Exception{Code: codeTooManyParts}, store.ErrBusy},
		{fmt.Errorf("x: %w", &proto.Exception{Code: codeMemory}), store.ErrBusy},
		{&proto.Exception{Code: codeNoSpace}, store.ErrReadOnly},
		{&proto.Exception{Code: codeTooFewReplicas}, store.ErrReadOnly},
		{io.EOF, store.ErrReadOnly},
		{context.DeadlineExceeded, store.ErrReadOnly},
		{fmt.Errorf("%w: %w", store.ErrBusy, errOvertaken), store.ErrBusy},
	} {
		got := forWriter(c.err)
		if !errors.Is(got, c.want) || !errors.Is(got, c.err) || !errors.Is(forWriter(got), c.want) {
			t.Errorf("%v becomes %v, want %v", c.err, got, c.want)
		}
	}
	secret := &proto.Exception{Code: codeTooManyParts, Message: "table secret"}
	if text := forWriter(secret).Error(); strings.Contains(text, "secret") || !strings.Contains(text, "252") {
		t.Errorf("agents see %q", text)
	}
	if got := forWriter(&proto.Exception{Code: 62}); errors.Is(got, store.ErrBusy) || errors.Is(got, store.ErrReadOnly) {
		t.Errorf("a syntax error becomes %v", got)
	}
}

func TestRecordsOfInsert(t *testing.T) {
	s := &Store{cfg: Config{}.withDefaults()}
	ins := s.newInsertID()
	if age := time.Now().UnixMilli() - int64(ins.begun()); age < 0 || age > 60_000 {
		t.Errorf("insert began %d ms ago", age)
	}
	if other := s.newInsertID(); other == ins {
		t.Error("two inserts have the same name")
	}
}

// TestColumnsEncode encodes a batch for the tables of a current server, which the
// tests cannot talk to, and reads it back.
func TestColumnsEncode(t *testing.T) {
	i := &item{
		series: []store.Series{
			{Project: "p", Type: libpf.SampleOnCPU, Service: "s'", Labels: []libpf.Label{{Key: "a", Value: ""}, {Key: "b", Value: "1"}}},
			{Project: "p", Type: libpf.SampleOffCPU, TID: 7},
		},
		samples: []store.Sample{
			{Time: 1_700_000_000_123_456_789, Stack: libpf.NewTraceHash(1, 2), Count: 1, Value: -5, TraceID: [16]byte{9}},
			{Time: 1_700_000_000_124_000_000, Series: 1, Stack: libpf.NewTraceHash(3, 4), Count: 2, Value: 6, SpanID: [8]byte{8}},
		},
	}
	types := make(map[string]text)
	for _, table := range tables(false) {
		if table.name == tableSamples {
			for _, c := range table.columns {
				kind, _, _ := strings.Cut(string(c.current), " CODEC")
				types[c.name] = text(kind)
			}
		}
	}
	block := proto.NewBlock()
	for _, c := range sampleColumns([]*item{i}, 77, false) {
		if err := block.AddColumn(c.Name, chcolumn.Type(types[c.Name])); err != nil {
			t.Fatalf("%s %s: %v", c.Name, types[c.Name], err)
		}
		if _, err := block.Columns[len(block.Columns)-1].Append(c.Values); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		delete(types, c.Name)
	}
	if len(types) > 0 {
		t.Errorf("columns without values: %v", types)
	}
	var b chproto.Buffer
	if err := block.Encode(&b, proto.DBMS_TCP_PROTOCOL_VERSION); err != nil {
		t.Fatal(err)
	}
	got := proto.NewBlock()
	if err := got.Decode(b.Reader(), proto.DBMS_TCP_PROTOCOL_VERSION); err != nil {
		t.Fatal(err)
	}
	values := make(map[string][]any)
	for k, name := range got.ColumnsNames() {
		for row := range got.Rows() {
			values[name] = append(values[name], got.Columns[k].Row(row, false))
		}
	}
	stack1, stack2 := libpf.NewTraceHash(1, 2).Bytes(), libpf.NewTraceHash(3, 4).Bytes()
	for name, want := range map[string][]any{
		"project": {"p", "p"}, "service": {"s'", ""}, "stack": {string(stack1[:]), string(stack2[:])}, "value": {int64(-5), int64(6)},
		"ins": {uint64(77), uint64(77)}, "tid": {uint32(0), uint32(7)},
		"ts":     {time.UnixMilli(1_700_000_000_123).UTC(), time.UnixMilli(1_700_000_000_124).UTC()},
		"labels": {map[string]string{"a": "", "b": "1"}, map[string]string{}},
	} {
		if d := cmp.Diff(want, values[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

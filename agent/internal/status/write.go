// SPDX-License-Identifier: Apache-2.0

package status

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/strobe-profiler/strobe/internal/containers"
)

// WriteJSON writes the report as the page has it.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for people. Times are told relative to now.
func (r *Report) WriteText(w io.Writer, now time.Time) error {
	t := &text{}
	t.row("agent", "%s on %s (host ID %s)", r.Version, r.Host, r.HostID)
	state := map[string]string{Ready: "profiling"}[r.State]
	if state == "" {
		state = r.State
	}
	t.row("state", "%s, started %s, %s ago", state, r.StartTime.UTC().Format("2006-01-02 15:04:05 UTC"), ago(now.Sub(r.StartTime)))
	t.row("sampling", "%d samples per second and busy CPU", r.SamplesPerSecond)
	if s := r.Sampling; s != nil {
		t.row("", "%s samples, %s lost; %s stacks, %s to the root", count(s.Samples), count(s.Lost), count(s.Stacks), share(s.Complete, s.Stacks))
	}
	if d := r.Delivery; d != nil {
		d.write(t, now)
	} else {
		t.row("delivery", "not started")
	}
	r.writeContainers(t)
	switch {
	case r.Privileges == nil:
		t.row("privileges", "all that it was started with")
	case len(r.Privileges) == 0:
		t.row("privileges", "none")
	default:
		t.row("privileges", "%s", strings.Join(r.Privileges, " "))
	}
	for i, c := range r.Limits {
		title := "limited"
		if i > 0 {
			title = ""
		}
		t.row(title, "%s: %s", c.Name, c.Effect)
		if c.Detail != "" {
			t.row("", "  found: %s", c.Detail)
		}
		if c.Fix != "" {
			t.row("", "  fix: %s", c.Fix)
		}
	}
	if len(r.Limits) == 0 {
		t.row("limited", "nothing")
	}
	t.row("", "")
	t.line(r.verdict())
	_, err := io.WriteString(w, t.String())
	return err
}

// writeContainers shows who is asked for the names of containers.
func (r *Report) writeContainers(t *text) {
	title := "containers"
	for i := range r.Containers {
		s := &r.Containers[i]
		state := s.State
		switch state {
		case containers.StateIdle:
			state = "not asked: no process in a container so far"
		case containers.StateAsked:
			state = "asked, and answers"
		default:
			state = "does not answer (" + s.State + "): " + s.Error
		}
		t.row(title, "%s at %s: %s", s.Kind, s.Where, state)
		if s.Fix != "" {
			t.row("", "  fix: %s", s.Fix)
		}
		title = ""
	}
}

func (r *Report) verdict() string {
	switch {
	case r.State != Ready:
		return "not healthy: the agent is " + r.State
	case r.Delivery == nil:
		return "not healthy: the agent delivers nothing"
	case r.Delivery.State != Connected:
		return "not healthy: profiling, but not delivering"
	}
	return "healthy: profiling and delivering"
}

func (d *Delivery) write(t *text, now time.Time) {
	how := "not encrypted"
	if d.Encrypted {
		how = "TLS"
	}
	switch d.Protocol {
	case ProtocolOTLPGRPC:
		how = "OTLP over gRPC, " + how
	case ProtocolOTLPHTTP:
		how = "OTLP over HTTP, " + how
	}
	answer := "no answer so far"
	if !d.LastSuccess.IsZero() {
		answer = "last answer " + ago(now.Sub(d.LastSuccess)) + " ago"
	}
	t.row("delivery", "%s, to %s (%s), %s", d.State, d.CollectionAgent, how, answer)
	if d.LastError != "" {
		t.row("", "last error, %s ago: %s", ago(now.Sub(d.LastErrorTime)), d.LastError)
	}
	if d.Advice != "" {
		t.row("", "what to do: %s", d.Advice)
	}
	d.writeLedger(t)
	s := &d.Spool
	switch s.State {
	case "off", "":
		t.row("spool", "off: samples wait in memory only")
	case "on":
		t.row("spool", "on, %s of %s, %s batches, in %s", size(s.Bytes), size(s.MaxBytes), count(uint64(max(0, s.Batches))), s.Dir) //nolint:gosec // not negative
		if !s.Oldest.IsZero() {
			t.row("", "the oldest is %s old", ago(now.Sub(s.Oldest)))
		}
	default:
		t.row("spool", "does not work, so samples wait in memory only: %s", s.State)
		t.row("", "in %s, %s of %s", s.Dir, size(s.Bytes), size(s.MaxBytes))
	}
	if s.ForeignBytes > 0 {
		t.row("", "%s wait for the other -exporter, which left them", size(s.ForeignBytes))
	}
}

// writeLedger shows the ledger as a sum.
func (d *Delivery) writeLedger(t *text) {
	lost := d.Dropped()
	peer, _ := d.peer()
	rows := []struct {
		sign, name string
		n          uint64
		note       string
	}{
		{" ", "captured", d.CapturedTotal, ""},
		{"=", "stored", d.StoredTotal, "acknowledged by the " + peer},
		{"+", "queued", d.QueuedSamples, "in memory"},
		{"+", "spooled", d.SpooledSamples, "on disk"},
		{"+", "dropped", lost, ""},
	}
	if d.RecoveredTotal > 0 {
		rows[0].note = count(d.RecoveredTotal) + " of them by earlier runs of the agent"
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(d.DroppedTotal)) {
		if n := d.DroppedTotal[reason]; n > 0 {
			reasons = append(reasons, reason+" "+count(n))
		}
	}
	rows[4].note = strings.Join(reasons, ", ")
	width := 0
	for _, row := range rows {
		width = max(width, len(count(row.n)))
	}
	for i, row := range rows {
		title := ""
		if i == 0 {
			title = "samples"
		}
		t.row(title, "%s %-8s %*s  %s", row.sign, row.name, width, count(row.n), row.note)
	}
	if sum := d.StoredTotal + d.QueuedSamples + d.SpooledSamples + lost; sum != d.CapturedTotal {
		t.row("", "this does not add up, which is an error in the agent: the sum is %s", count(sum))
	}
}

// text is a table of two columns.
type text struct{ strings.Builder }

const titleWidth = 12

func (t *text) row(title, format string, args ...any) {
	t.line(fmt.Sprintf("%-*s%s", titleWidth, title, fmt.Sprintf(format, args...)))
}

// line adds a line without what could disturb a terminal: some of the texts come
// from the server or from the host.
func (t *text) line(s string) {
	t.WriteString(strings.TrimRight(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s), " "))
	t.WriteByte('\n')
}

// count prints a number with separators.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func share(part, whole uint64) string {
	if whole == 0 {
		return "none"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

// size prints a number of bytes.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, unit := float64(n), 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', min(unit, 1), 64), ".0") + " " + units[unit]
}

// ago prints how long something takes or is past, in the two largest units.
func ago(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// table is what is printed at the end.
type table struct {
	b     *bench
	rows  []row
	asked map[string]map[string]asked // by question and phase
	order []question
}

// row is a figure, its goal, and that of others.
type row struct{ name, value, goal, peer string }

func newTable(b *bench) *table { return &table{b: b, asked: make(map[string]map[string]asked)} }

func (t *table) add(name, goal, peer, format string, a ...any) {
	t.rows = append(t.rows, row{name, fmt.Sprintf(format, a...), goal, peer})
	_, _ = fmt.Fprintf(t.b.out, "%s: %s\n", name, fmt.Sprintf(format, a...)) // while one waits
}

// ingest adds what sending took, by its way.
func (t *table) ingest(via string, p pushed) {
	goal, peer := "1", "13.8 (30.2)"
	if strings.HasPrefix(via, "otlp") {
		goal, peer = "3", "22.1 (36.3)"
	}
	million := float64(p.samples) / 1e6
	t.add(via+": samples", "", "", "%d", p.samples)
	t.add(via+": CPU s per million samples", goal, peer, "%.2f", p.cpu.Seconds()/million)
	t.add(via+": wall s, samples a second", "", "", "%.1f, %.0f", p.wall.Seconds(), float64(p.samples)/p.wall.Seconds())
	t.add(via+": request ms, p50 / p95", "", "738 / 1,215 (68 / 195)", "%s / %s", ms(p.p50), ms(p.p95))
	t.add(via+": resident MB, peak", "256", "532 (559)", "%.0f", float64(p.peak)/1e6)
	t.add(via+": bytes per sample, just written", "10", "110 (117)", "%.2f", float64(p.bytes)/float64(p.samples))
}

// compaction adds what compaction took.
func (t *table) compaction(c compacted, samples int) {
	t.add("bytes per sample, after compaction", "2.5", "6.8", "%.2f", float64(c.bytes)/float64(samples))
	t.add("compaction: CPU s per million samples, peak MB", "", "", "%.2f, %.0f",
		c.cpu.Seconds()/float64(samples)*1e6, float64(c.peak)/1e6)
}

// parts adds how the bytes of a directory spread over its parts.
func (t *table) parts(when, dir string, samples int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var list []string
	for _, e := range entries {
		if e.Name() == reserveFile {
			if info, err := e.Info(); err == nil {
				t.add("reserve for a full disk, MiB, not in bytes per sample, "+when, "", "", "%d", info.Size()>>20)
			}
			continue
		}
		n, err := size(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if n > int64(samples)/100 {
			list = append(list, fmt.Sprintf("%s %.2f", e.Name(), float64(n)/float64(samples)))
		}
	}
	t.add("bytes per sample by part, "+when, "", "", "%s", strings.Join(list, ", "))
	return nil
}

// memory adds the peak of memory after questions.
func (t *table) memory(phase string, peak int64) {
	t.add("resident MB after questions, peak, "+phase, "", "(2,180)", "%.0f", float64(peak)/1e6)
}

func (t *table) question(phase string, q question, a asked) {
	if t.asked[q.name] == nil {
		t.asked[q.name] = make(map[string]asked)
		t.order = append(t.order, q)
	}
	t.asked[q.name][phase] = a
	_, _ = fmt.Fprintf(t.b.out, "%s, %s: CPU %s ms, wall p50 %s p95 %s first %s ms, %d bytes, %d runs\n",
		q.name, phase, ms(a.cpu), ms(a.p50), ms(a.p95), ms(a.first), a.bytes, a.runs)
}

func ms(d time.Duration) string {
	v := d.Seconds() * 1e3
	if v < 10 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// print prints the table.
func (t *table) print(out io.Writer) {
	c := t.b.config
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d hosts, %d windows of %d s, %d stacks. Best peer: Pyroscope v2 (Parca).\n\n",
		t.b.hosts, t.b.windows, workload.WindowSeconds, c.Stacks)
	b.WriteString("| figure | measured | goal | best peer |\n| --- | --- | --- | --- |\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.name, r.value, r.goal, r.peer)
	}
	b.WriteString("\n| question | CPU ms just written | after compaction | goal | best peer | wall ms p50 / p95 | bytes |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, q := range t.order {
		fresh, after := t.asked[q.name]["fresh"], t.asked[q.name]["compacted"]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s / %s | %d |\n",
			q.name, ms(fresh.cpu), ms(after.cpu), q.goal, q.peer, ms(after.p50), ms(after.p95), after.bytes)
	}
	_, _ = io.WriteString(out, b.String())
}

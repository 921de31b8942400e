// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

func sortedKeys(m map[string]int64) []string { return slices.Sorted(maps.Keys(m)) }

func hostsCommand() *command {
	return &command{
		name:    "hosts",
		summary: "List hosts and their agents, those that need attention first.",
		help: `
Queued, spooled and dropped are in samples: what waits in the agent, what waits on
its disk, and what is lost. -v says what is off on each host and what turns it on.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.out(flags, "table or json")
			flags.IntVar(&a.limit, "limit", 100, "most `hosts`, 0 to 100000")
			verbose := flags.Bool("v", false, "say what is off on each host, and why")
			return func(in *call) error {
				if err := noOperands(in, a); err != nil {
					return err
				}
				q, err := a.questionWith(in, url.Values{"limit": {strconv.Itoa(a.limit)}})
				if err != nil {
					return err
				}
				var answer client.Hosts
				if done, err := q.get("hosts", &answer); done || err != nil {
					return err
				}
				if len(answer.Hosts) == 0 {
					_, err := fmt.Fprintln(in.stderr, "No hosts yet. Start an agent as root: agent -collection-agent HOST:11000")
					return err
				}
				return printHosts(q.out, &answer, *verbose)
			}
		},
	}
}

// stateStyle says whether a state is one to worry about.
func stateStyle(h *client.Host, now int64) term.Style {
	switch {
	case h.State == "connected" && now-h.ReportedMs > time.Minute.Milliseconds():
		return term.Style{FG: term.Warn, Bold: true}
	case h.State == "connected":
		return term.Style{FG: term.Better}
	case h.State == "unknown" || h.State == "stopped" || h.State == "starting":
		return term.Style{Faint: true}
	}
	return term.Style{FG: term.Worse, Bold: true}
}

func printHosts(o *term.Out, t *client.Hosts, verbose bool) error {
	rows := make([][]render.Cell, len(t.Hosts))
	for i := range t.Hosts {
		h := &t.Hosts[i]
		state := h.State
		if state == "connected" && t.NowMs-h.ReportedMs > time.Minute.Milliseconds() {
			state = "silent"
		}
		var notes []string
		if h.LastError != "" && state != "connected" {
			notes = append(notes, h.LastError)
		}
		if h.Spool != nil && h.Spool.State != "" && h.Spool.State != "on" && h.Spool.State != "off" {
			notes = append(notes, "spool: "+h.Spool.State)
		}
		if n := h.ClockOffsetMs; n > 5000 || n < -5000 {
			notes = append(notes, fmt.Sprintf("clock %+.0f s off", float64(n)/1000))
		}
		if n := len(h.Limitations); n > 0 && !verbose {
			notes = append(notes, counted(n, "limitation")+", see -v")
		}
		dropped := render.Cell{Text: render.Count(h.Dropped)}
		if h.Dropped > 0 {
			dropped.Style = term.Style{FG: term.Worse}
		}
		rows[i] = []render.Cell{
			{Text: state, Style: stateStyle(h, t.NowMs)}, {Text: cmp.Or(h.Name, h.ID), Style: term.Style{Bold: true}},
			render.Plain(h.Version), render.Plain(cmp.Or(h.Kernel, h.Metadata["kernel.release"])),
			render.Plain(render.Ago(max(h.LastSeenMs, h.ReportedMs), t.NowMs)),
			render.Plain(render.Count(h.Queued)), render.Plain(render.Count(h.Spooled)), dropped, render.Plain(strings.Join(notes, "; ")),
		}
	}
	if err := render.Table(o, []render.Column{
		{Title: "state"}, {Title: "host", Flex: true}, {Title: "agent", Flex: true}, {Title: "kernel", Flex: true}, {Title: "seen"},
		{Title: "queued", Right: true}, {Title: "spooled", Right: true}, {Title: "dropped", Right: true}, {Title: "notes", Flex: true},
	}, rows); err != nil {
		return err
	}
	if verbose {
		var b strings.Builder
		for _, h := range t.Hosts {
			for _, l := range h.Limitations {
				fmt.Fprintf(&b, "\n%s: %s is off: %s", o.Paint(term.Style{Bold: true}, term.Clean(cmp.Or(h.Name, h.ID))), term.Clean(l.Name), term.Clean(l.Effect))
				if l.Fix != "" {
					fmt.Fprintf(&b, "\n  to turn it on: %s", term.Clean(l.Fix))
				}
			}
		}
		if b.Len() > 0 {
			if _, err := fmt.Fprintln(o, b.String()); err != nil {
				return err
			}
		}
	}
	if t.Hidden > 0 {
		return faint(o, "%s more; -limit shows more", render.Count(int64(t.Hidden)))
	}
	return nil
}

func statusCommand() *command {
	return &command{
		name:    "status",
		summary: "Say how the server and its agents do.",
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.out(flags, "table or json")
			return func(in *call) error {
				if err := noOperands(in, a); err != nil {
					return err
				}
				q, err := a.questionWith(in, nil)
				if err != nil {
					return err
				}
				var status client.Status
				if done, err := q.get("status", &status); done || err != nil {
					return err
				}
				return q.printStatus(&status)
			}
		},
	}
}

func (q *question) printStatus(s *client.Status) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		b.WriteString(q.out.Paint(term.Style{Faint: true}, term.Pad(name, 10)) + fmt.Sprintf(format, args...) + "\n")
	}
	line("server", "%s, version %s, project %s", q.client.Server(), term.Clean(s.Version), term.Clean(s.Project))
	if s.Incomplete != "" {
		line("", "%s", q.out.Paint(term.Style{FG: term.Warn}, term.Clean(s.Incomplete)))
	}
	if st := s.Store; st != nil {
		size := int64(0)
		for _, n := range st.Bytes {
			size += n
		}
		text := render.Bytes(size)
		if st.LimitBytes > 0 {
			text += fmt.Sprintf(" of %s (%s)", render.Bytes(st.LimitBytes), render.Percent(size, st.LimitBytes))
		}
		line("store", "%s, %s", term.Clean(st.Engine), text)
		line("", "%s samples, %s stacks, %s symbols of %s", render.Count(st.Samples), render.Count(st.Stacks), render.Count(st.Symbols), counted(int(st.Executables), "executable"))
		if st.NewestMs > 0 {
			line("", "from %s to %s (%s)", clock(st.OldestMs), clock(st.NewestMs), render.Ago(st.NewestMs, s.NowMs))
		}
	}
	var hosts client.Hosts
	q.values = url.Values{"limit": {"100000"}}
	if _, err := q.client.JSON(q.in.ctx, "hosts", q.values, &hosts); err != nil {
		return err
	}
	states := map[string]int64{}
	for _, h := range hosts.Hosts {
		states[h.State]++
	}
	_, text := sumOf(states)
	line("hosts", "%s%s", render.Count(int64(len(hosts.Hosts)+hosts.Hidden)), inBrackets(text))
	var ledger client.Ledger
	if _, err := q.client.JSON(q.in.ctx, "ledger", url.Values{"limit": {"0"}}, &ledger); err != nil {
		return err
	}
	g := &ledger.Agents
	dropped, reasons := sumOf(g.Dropped)
	line("agents", "%s captured, %s stored, %s queued, %s spooled", render.Count(g.Captured), render.Count(g.Stored), render.Count(g.Queued), render.Count(g.Spooled))
	warn := func(n int64) term.Style {
		if n > 0 {
			return term.Style{FG: term.Worse}
		}
		return term.Style{}
	}
	line("", "%s", q.out.Paint(warn(dropped), render.Count(dropped)+" dropped"+inBrackets(reasons)))
	refused, reasons := sumOf(ledger.Server.Refused)
	line("ingest", "%s received, %s stored, %s that came twice", render.Count(ledger.Server.Received), render.Count(ledger.Server.Stored), render.Count(ledger.Server.Duplicate))
	line("", "%s", q.out.Paint(warn(refused), render.Count(refused)+" refused"+inBrackets(reasons)))
	if ledger.Unaccounted > 0 {
		line("", "%s", q.out.Paint(warn(1), render.Count(ledger.Unaccounted)+" acknowledged but not there"))
	}
	_, err := fmt.Fprint(q.out, b.String())
	return err
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func clock(ms int64) string { return time.UnixMilli(ms).Local().Format("2006-01-02 15:04:05") }

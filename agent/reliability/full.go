// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/fleet"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/synth"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
)

// childSpool makes this program one that fills a spool, of which these say where
// and how large.
const (
	childSpool    = "spool"
	spoolDirVar   = "STROBE_RELIABILITY_SPOOL_DIR"
	spoolBytesVar = "STROBE_RELIABILITY_SPOOL_BYTES"
)

// fillSpool fills a spool, says so on standard output and goes on filling it until
// it is killed.
func fillSpool() {
	ctx := context.Background()
	limit, err := strconv.ParseInt(os.Getenv(spoolBytesVar), 10, 64)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	r, err := startReporter(ctx, viaStrobe, "127.0.0.1:1", "full-spool", os.Getenv(spoolDirVar), limit)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	g := synth.New(1, 300, 6000)
	for _, e := range g.Executables() {
		r.ReportExecutable(e)
	}
	said := false
	at := time.Now().Add(-24 * time.Hour)
	for i := 0; ; i++ {
		at = at.Add(g.Spread(time.Millisecond))
		r.ReportSample(g.Next(at))
		if i%1024 != 0 {
			continue
		}
		if room(ctx, r) != nil {
			return
		}
		// A spool that is full drops its oldest.
		if s := r.Status(); !said && len(s.Ledger.Dropped) > 0 {
			said = true
			fmt.Println("full", s.Spool.Bytes, s.Ledger.Spooled)
		}
	}
}

// restartFull kills both sides when their disks hold as much as they may, and
// measures the starts after that.
func (k *killer) restartFull(ctx context.Context) error {
	if err := k.makeFullSpool(ctx); err != nil {
		return err
	}
	k.serverArgs = []string{"-head-max-bytes", fmt.Sprintf("%dMiB", k.walMiB)}
	acked, sent, err := k.makeFullLog(ctx)
	if err != nil {
		return err
	}
	took, err := k.startServer(ctx)
	if err != nil {
		return err
	}
	_, peak := k.server.Memory()
	k.table.Check(took <= k.limit, fmt.Sprintf("start to ready of the collection agent with a full log, at most %s", k.limit), "%s; highest memory %.0f MiB", round(took), float64(peak)/mib)
	stored, err := k.server.Samples(ctx, "")
	if err != nil {
		return err
	}
	k.table.Check(stored >= acked && stored <= sent, "acknowledged <= stored <= sent", "%d, %d, %d", acked, stored, sent)
	return k.startOnFullSpool(ctx, stored)
}

// makeFullSpool runs a reporter until its spool is full, and kills it.
func (k *killer) makeFullSpool(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	k.table.Note("filling a spool of %d MiB", k.spoolMiB)
	child := exec.CommandContext(ctx, self) //nolint:gosec // this program
	child.Env = append(os.Environ(), childVar+"="+childSpool, spoolDirVar+"="+k.spoolDir, fmt.Sprintf("%s=%d", spoolBytesVar, k.spoolMiB*mib))
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start what fills a spool: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = child.Process.Kill() // in the midst of it
	_ = child.Wait()         // killed, as asked
	var bytes, samples uint64
	if n, _ := fmt.Sscanf(line, "full %d %d", &bytes, &samples); n != 2 {
		return fmt.Errorf("fill a spool: it said %q: %w", line, err)
	}
	k.table.Figure("full spool, its writer killed", "%.0f MiB, %d samples", float64(bytes)/mib, samples)
	return nil
}

// makeFullLog sends to a collection agent until its memory of new samples, and with
// it its log, is about to be written, and kills it.
func (k *killer) makeFullLog(ctx context.Context) (acked, sent uint64, err error) {
	if _, err := k.startServer(ctx); err != nil {
		return 0, 0, err
	}
	payload, err := fleet.NewPayload(k.seed, 2000, time.Second)
	if err != nil {
		return 0, 0, err
	}
	f, err := fleet.Start(ctx, k.grpcAddress, 16, k.seed, payload)
	if err != nil {
		return 0, 0, err
	}
	defer f.Stop()
	f.SetPace(20)
	// One half of the memory fills while the other is written.
	full := uint64(k.walMiB) * mib * 48 / 100
	var wal int64
	for {
		m, err := k.server.Metrics(ctx)
		if err != nil {
			return 0, 0, err
		}
		if head := m.Get("strobe_collectionagent_store_head_bytes"); head >= full {
			k.table.Note("the head has %d MiB", head/mib)
			break
		}
		if !pause.For(ctx, 20*time.Millisecond) {
			return 0, 0, ctx.Err()
		}
	}
	acked = f.Acked()
	k.server.Kill()
	f.SetLoad(false)
	files, err := filepath.Glob(filepath.Join(k.dataDir, "wal", "*"))
	if err != nil {
		return 0, 0, err
	}
	for _, name := range files {
		if st, err := os.Stat(name); err == nil {
			wal += st.Size()
		}
	}
	f.Stop()
	k.table.Figure("full log of the collection agent, killed under load", "%.0f MiB, %d samples acknowledged", float64(wal)/mib, acked)
	// What came after the count may be stored too.
	return acked, f.Sent(), nil
}

// startOnFullSpool starts a real agent on the spool and lets it deliver everything.
func (k *killer) startOnFullSpool(ctx context.Context, before uint64) error {
	k.agentSettings.Args = []string{"-spool-bytes", fmt.Sprintf("%dMiB", k.spoolMiB)}
	took, err := k.startAgent(ctx)
	if err != nil {
		return err
	}
	_, peak := k.agent.Memory()
	k.table.Check(took <= k.limit, fmt.Sprintf("start to ready of the agent with a full spool, at most %s", k.limit), "%s; highest memory %.0f MiB", round(took), float64(peak)/mib)
	if err := k.subject.start(k.threads); err != nil {
		return err
	}
	began := time.Now()
	if !pause.For(ctx, 2*time.Second) {
		return ctx.Err()
	}
	l, err := k.settle(ctx, 15*time.Minute)
	if err != nil {
		return err
	}
	_, peak = k.agent.Memory()
	k.table.Figure("replay of the spool", "%d samples in %.1f s", l.Recovered, time.Since(began).Seconds())
	k.table.Check(peak < 512*mib, "memory of the agent while it replays, below 512 MiB", "highest %.0f MiB", float64(peak)/mib)
	_, peak = k.server.Memory()
	k.table.Figure("highest memory of the collection agent", "%.0f MiB", float64(peak)/mib)
	total, err := k.server.Samples(ctx, "")
	if err != nil {
		return err
	}
	k.table.Check(l.Balance() == nil && l.Recovered > 0, "the agent's ledger adds up", "%s", l)
	verdict.Equal(k.table, "stored since the start of the agent", total-before, l.Captured-l.DroppedTotal(), "captured and taken over, without what it dropped")
	verdict.Equal(k.table, "dropped by the agent", l.DroppedTotal(), 0, "")
	k.stopAll()
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
)

// disks breaks the disk below the spool and below the store.
type disks struct {
	threads int
	only    string
	*pipeline
}

func diskFlags(fs *flag.FlagSet) func(context.Context, *trial) error {
	d := &disks{}
	fs.IntVar(&d.threads, "threads", 1, "busy threads of the subject; each gives up to 1,000 samples/s")
	fs.StringVar(&d.only, "only", "", "do only the parts whose name holds this text")
	return d.run
}

// volume is a small file system of its own.
type volume struct {
	dir    string
	overed bool // there is a second, read-only mount on top
}

func mountVolume(dir string, bytes int64) (*volume, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes)); err != nil {
		return nil, fmt.Errorf("mount a small file system at %s: %w", dir, err)
	}
	return &volume{dir: dir}, nil
}

// overflow is why samples are dropped while neither the disk nor the server takes
// them: memory is bounded.
const overflow = "overflow"

const filler = "filler"

// fill leaves about the given number of bytes.
func (v *volume) fill(leave int64) error {
	f, err := os.OpenFile(filepath.Join(v.dir, filler), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(v.dir, &st); err != nil {
		return errors.Join(err, f.Close())
	}
	free := int64(st.Bavail) * st.Bsize //nolint:gosec // a small disk
	_, err = f.Write(make([]byte, max(free-leave, 0)))
	if errors.Is(err, unix.ENOSPC) { // the program writes too
		err = nil
	}
	return errors.Join(err, f.Close())
}

func (v *volume) free() error { return os.Remove(filepath.Join(v.dir, filler)) }

// readOnly makes it read-only. While files are open for writing the kernel does
// not allow that; then all paths lead to a read-only view of the same files, and
// what is open stays so. It says which it was.
func (v *volume) readOnly() (how string, err error) {
	for range 20 {
		if err = unix.Mount("", v.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); !errors.Is(err, unix.EBUSY) {
			return "all of it", err
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := unix.Mount(v.dir, v.dir, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount a view: %w", err)
	}
	v.overed = true
	if err := unix.Mount("", v.dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return "", fmt.Errorf("make the view read-only: %w", err)
	}
	return "for files that are opened from now on", nil
}

func (v *volume) writable() error {
	if v.overed {
		v.overed = false
		return unix.Unmount(v.dir, unix.MNT_DETACH)
	}
	return unix.Mount("", v.dir, "", unix.MS_REMOUNT, "")
}

func (v *volume) close() {
	if v.overed {
		_ = unix.Unmount(v.dir, unix.MNT_DETACH) // the next line says what is wrong
	}
	_ = unix.Unmount(v.dir, unix.MNT_DETACH) // the folder is removed after this
}

func (d *disks) run(ctx context.Context, t *trial) error {
	for _, part := range []struct {
		name string
		f    func(context.Context) error
	}{
		{"spool on a full disk", d.spoolFull},
		{"spool on a read-only disk", d.spoolReadOnly},
		{"spool on a disk that becomes read-only", d.spoolBecomesReadOnly},
		{"store on a full disk", d.storeFull},
		{"store on a disk without a byte left", d.storeStuffed},
		{"store on a disk that becomes read-only", d.storeReadOnly},
		{"store on a read-only disk", d.storeStartsReadOnly},
	} {
		if !strings.Contains(part.name, d.only) {
			continue
		}
		t.table.Note("%s", part.name)
		sub := *t
		sub.work = filepath.Join(t.work, strings.ReplaceAll(part.name, " ", "-"))
		if err := os.Mkdir(sub.work, 0o700); err != nil {
			return err
		}
		p, err := newPipeline(&sub)
		if err != nil {
			return err
		}
		d.pipeline = p
		err = part.f(ctx)
		d.close()
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// span is how long each part stays in each of its states.
func (d *disks) span() time.Duration { return max(d.duration/20, time.Second) }

// with mounts a volume, starts everything, calls f while the ledger is watched, and
// compares at the end. reason is why samples may be dropped, "" when none may.
func (d *disks) with(ctx context.Context, name, dir string, bytes int64, reason string, before func(*volume) error, f func(*volume) error) error {
	v, err := mountVolume(dir, bytes)
	if err != nil {
		return err
	}
	defer func() {
		d.close()
		v.close()
	}()
	if before != nil {
		if err := before(v); err != nil {
			return err
		}
	}
	if err := d.start(ctx, d.threads); err != nil {
		return err
	}
	watch := watchLedger(ctx, d.agent)
	defer watch.stop()
	if !pause.For(ctx, d.span()) {
		return ctx.Err()
	}
	if err := f(v); err != nil {
		return err
	}
	l, err := d.settle(ctx, 2*patience)
	if err != nil {
		d.table.Check(false, "everything is delivered after the disk is well, "+name, "%v", err)
		return nil
	}
	watch.stop()
	d.table.Check(d.agent.Running() && d.server.Running(), "nothing crashed, "+name, "both run")
	watch.report(d.table)
	if err := d.compare(ctx, l, reason); err != nil {
		return err
	}
	d.stopAll()
	return nil
}

// await waits until the agent's status is as wanted, and returns the last one that
// there was, whether it came to that, and when.
func (d *disks) await(ctx context.Context, wanted func(*rig.AgentStatus) bool) (s rig.AgentStatus, came bool, seconds float64) {
	began := time.Now()
	for time.Since(began) < patience && ctx.Err() == nil {
		if now, err := d.agent.Status(ctx); err == nil {
			if s = now; wanted(&s) {
				return s, true, time.Since(began).Seconds()
			}
		}
		pause.For(ctx, 50*time.Millisecond)
	}
	return s, false, time.Since(began).Seconds()
}

// spoolSays waits until the agent's spool is well, or is not.
func (d *disks) spoolSays(ctx context.Context, well bool, what string) {
	s, came, seconds := d.await(ctx, func(s *rig.AgentStatus) bool { return (s.Spool == "on") == well })
	d.table.Check(came && d.agent.Running(), what, "spool: %q, delivery: %s, after %.1f s; %s", s.Spool, s.Delivery, seconds, s.Ledger)
}

func (d *disks) spoolFull(ctx context.Context) error {
	return d.with(ctx, "full spool", d.spoolDir, 16*mib, overflow, nil, func(v *volume) error {
		d.server.Kill() // now it is needed
		if err := v.fill(0); err != nil {
			return err
		}
		d.spoolSays(ctx, false, "the agent says that the disk of its spool is full")
		pause.For(ctx, d.span())
		if err := v.free(); err != nil {
			return err
		}
		d.spoolSays(ctx, true, "and recovers by itself when there is room")
		_, err := d.startServer(ctx)
		return err
	})
}

func (d *disks) spoolReadOnly(ctx context.Context) error {
	before := func(v *volume) error {
		_, err := v.readOnly()
		return err
	}
	return d.with(ctx, "read-only spool", d.spoolDir, 16*mib, overflow, before, func(v *volume) error {
		d.spoolSays(ctx, false, "the agent starts, and says that its spool is read-only")
		d.server.Kill()
		pause.For(ctx, d.span())
		if err := v.writable(); err != nil {
			return err
		}
		d.spoolSays(ctx, true, "and uses it as soon as it can")
		_, err := d.startServer(ctx)
		return err
	})
}

func (d *disks) spoolBecomesReadOnly(ctx context.Context) error {
	return d.with(ctx, "spool becomes read-only", d.spoolDir, 16*mib, overflow, nil, func(v *volume) error {
		how, err := v.readOnly()
		if err != nil {
			return err
		}
		d.server.Kill()
		pause.For(ctx, 3*d.span())
		s, err := d.agent.Status(ctx)
		d.table.Check(err == nil && s.Ledger.Balance() == nil, "the agent runs on when its spool becomes read-only ("+how+")", "spool: %q; %s", s.Spool, s.Ledger)
		if err := v.writable(); err != nil {
			return err
		}
		d.spoolSays(ctx, true, "and its spool works when the disk does")
		_, err = d.startServer(ctx)
		return err
	})
}

// storeSays waits until the agent is, or is not, told to keep its samples.
func (d *disks) storeSays(ctx context.Context, well bool, what string) {
	s, came, seconds := d.await(ctx, func(s *rig.AgentStatus) bool { return (s.Delivery == "connected") == well })
	text := s.LastError
	if well {
		text = s.Ledger.String()
	}
	d.table.Check(came && d.server.Running(), what, "%s after %.1f s: %s", s.Delivery, seconds, text)
}

func (d *disks) storeFull(ctx context.Context) error {
	return d.storeWithout(ctx, "full store", "16MiB", 8*mib, "the collection agent refuses below -min-free-bytes, and says why")
}

func (d *disks) storeStuffed(ctx context.Context) error {
	return d.storeWithout(ctx, "stuffed store", "1", 0, "the collection agent survives that a write fails, and says so")
}

// storeWithout leaves a store so many bytes for a while.
func (d *disks) storeWithout(ctx context.Context, name, minFree string, leave int64, says string) error {
	d.serverArgs = []string{"-min-free-bytes", minFree}
	return d.with(ctx, name, d.dataDir, 192*mib, "", nil, func(v *volume) error {
		if err := v.fill(leave); err != nil {
			return err
		}
		d.storeSays(ctx, false, says)
		pause.For(ctx, d.span())
		if err := v.free(); err != nil {
			return err
		}
		d.storeSays(ctx, true, "and takes samples again when there is room")
		return nil
	})
}

func (d *disks) storeReadOnly(ctx context.Context) error {
	d.serverArgs = []string{"-min-free-bytes", "1"}
	return d.with(ctx, "store becomes read-only", d.dataDir, 192*mib, "", nil, func(v *volume) error {
		how, err := v.readOnly()
		if err != nil {
			return err
		}
		pause.For(ctx, 3*d.span())
		s, err := d.agent.Status(ctx)
		d.table.Check(err == nil && d.server.Running(), "the collection agent runs on when its disk becomes read-only ("+how+")", "delivery: %s, %s", s.Delivery, s.LastError)
		if err := v.writable(); err != nil {
			return err
		}
		d.storeSays(ctx, true, "and takes samples when the disk does")
		return nil
	})
}

// storeStartsReadOnly starts the collection agent on a disk that it cannot write
// to: it must say so, by ending or by waiting.
func (d *disks) storeStartsReadOnly(ctx context.Context) error {
	return d.with(ctx, "read-only store at a start", d.dataDir, 512*mib, "", nil, func(v *volume) error {
		d.server.Kill()
		how, err := v.readOnly()
		if err != nil {
			return err
		}
		if d.server, err = rig.StartServer(d.bin, d.dataDir, d.grpcAddress, d.webAddress, d.serverArgs...); err != nil {
			return err
		}
		select {
		case <-d.server.Ended():
		case <-time.After(max(d.span(), 3*time.Second)):
		}
		lines := strings.Split(strings.TrimSpace(d.server.Log()), "\n")
		what, said := "it ended", lines[len(lines)-1]
		if d.server.Running() {
			what = "it runs"
		}
		d.table.Check(strings.Contains(d.server.Log(), "read-only") && !strings.Contains(d.server.Log(), "panic"),
			"a collection agent on a read-only disk ("+how+") says so", "%s: %s", what, said)
		if err := v.writable(); err != nil {
			return err
		}
		if !d.server.Running() { // what a supervisor does
			if _, err := d.startServer(ctx); err != nil {
				return err
			}
		}
		d.storeSays(ctx, true, "and takes samples when the disk does")
		return nil
	})
}

// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// On a full disk batches stay in memory, and nothing is lost or told twice.
func TestSpoolFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it mounts a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=700"); err != nil {
		skip.Because(t, "cannot mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := newFakeServer(t)
	s.fault = away
	r := startSpool(t, s.serve(), filepath.Join(dir, "spool"), nil)
	rows := 0
	eventually(t, "the disk is full", func() bool {
		report(r, rows, rows+100)
		rows += 100
		return strings.Contains(r.Status().Spool.State, "no space left")
	})
	if l := checkLedger(t, r); l.Spooled == 0 || len(l.Dropped) > 0 {
		t.Errorf("ledger %+v", l)
	}
	s.setFault(nil)
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == uint64(rows) })
	checkRows(t, s, 0, rows)
	// There is room again, which the next outage finds.
	s.setFault(away)
	report(r, rows, rows+100)
	eventually(t, "it is on disk", func() bool { st := r.Status(); return st.Ledger.Spooled == 100 && st.Spool.State == "on" })
	s.setFault(nil)
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == uint64(rows+100) })
	r.Stop()
	checkLedger(t, r)
	checkRows(t, s, 0, rows+100)
}

// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// writerVar makes the test binary a process that writes to the spool in the
// directory that it names, until it is killed.
const writerVar = "STROBE_SPOOL_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVar); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// writeUntilKilled appends records and says after every sync which are safe and which are settled.
func writeUntilKilled(dir string) error {
	s, err := Open(Options{Dir: dir, MaxBytes: 64 << 20})
	if err != nil {
		return err
	}
	for i := uint64(1); ; i++ {
		r := testRecord(i)
		order, err := s.Append(&r, false)
		if err != nil {
			return err
		}
		if i%3 != 0 {
			continue
		}
		if err := s.Sync(); err != nil {
			return err
		}
		fmt.Println("safe", order)
		if i%12 == 0 {
			old, ok, err := s.Read()
			if err != nil || !ok {
				return fmt.Errorf("read: %v %w", ok, err)
			}
			fmt.Println("settling", old.Order)
			s.Settle(old.Order)
		}
	}
}

// What was synced when a process is killed is there afterwards, once and in order.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	safe, settling := uint64(0), map[uint64]bool{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), writerVar+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, killed := 0, false
		for in := bufio.NewScanner(out); in.Scan(); {
			word, number, _ := strings.Cut(in.Text(), " ")
			order, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				t.Errorf("the writer says %q", in.Text())
				continue
			}
			if word == "safe" {
				safe = order
			} else {
				settling[order] = true
			}
			// Lines that were written before the signal arrives count as well.
			if lines++; lines > 15+10*round && !killed {
				killed = true
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		if !killed {
			t.Fatal("the writer ended by itself")
		}
		s, err := Open(Options{Dir: dir, MaxBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		checkSafe(t, s, safe, settling)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkSafe reads all, settling nothing, and requires every safe record once and in order.
func checkSafe(t *testing.T, s *Spool, safe uint64, settling map[uint64]bool) {
	t.Helper()
	next := uint64(1)
	for {
		r, ok, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		for ; next < r.Order; next++ {
			if next <= safe && !settling[next] {
				t.Fatalf("record %d of %d is lost", next, safe)
			}
		}
		if next = r.Order + 1; len(r.Payload) == 0 {
			t.Fatalf("record %d is empty", r.Order)
		}
	}
	if next <= safe && !settling[safe] {
		t.Fatalf("records %d to %d are lost", next, safe)
	}
}

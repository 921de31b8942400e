// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Report says what became of the privileges of the process.
type Report struct {
	// Kept are the capabilities that it still has, Dropped those that it had.
	Kept, Dropped Set
}

// Early does what can be done before anything else. Each thing that fails is in the
// error, the others are done.
func Early() error {
	unix.Umask(0o077)
	var errs []error
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		errs = append(errs, fmt.Errorf("forbid core dumps: %w", err))
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		errs = append(errs, fmt.Errorf("forbid new privileges: %w", err))
	}
	return errors.Join(errs...)
}

// Drop gives up all capabilities but the needed ones, in all threads, for good.
// Where a needed one is missing, one that does as well stays. After an error the
// process has all that it had, or less; the report says what.
func Drop(needed Set) (Report, error) {
	had, err := permitted()
	if err != nil {
		return Report{}, err
	}
	keep := had.keep(needed)
	var errs []error
	if had.has(unix.CAP_SETPCAP) {
		// From here on, what is executed as root is not special.
		if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, noRoot, 0); err != nil {
			errs = append(errs, fmt.Errorf("take the privileges from user 0: %w", err))
		}
		if err := dropBounding(keep); err != nil {
			errs = append(errs, err)
		}
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		errs = append(errs, fmt.Errorf("clear ambient capabilities: %w", err))
	}
	if err := set(keep); err != nil {
		errs = append(errs, err)
	}
	has, err := permitted()
	if err != nil {
		errs = append(errs, err)
	}
	return Report{Kept: has, Dropped: had &^ has}, errors.Join(errs...)
}

// noRoot are the SECBIT_ flags of linux/securebits.h that say: a program that
// user 0 executes gets no capabilities for it, and this cannot be changed back.
const noRoot = 1<<0 | 1<<1

// dropBounding takes all but keep out of the set that bounds what the process can
// ever have. It needs CAP_SETPCAP; without it the set of systemd's unit or the
// container stays, and no new privileges means that none of it can be gained.
func dropBounding(keep Set) error {
	for n := range 64 {
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil {
			return nil // the kernel has no more of them
		}
		if in == 0 || keep.has(n) {
			continue
		}
		if err := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(n), 0); err != nil {
			return fmt.Errorf("reduce the bounding set of capabilities: %w", err)
		}
	}
	return nil
}

// set makes s the permitted and the effective set of all threads, and empties
// the inheritable one.
func set(s Set) error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{}
	for i := range data {
		half := uint32(s >> (32 * i)) //nolint:gosec // half of it
		data[i] = unix.CapUserData{Effective: half, Permitted: half}
	}
	err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)), 0) //nolint:gosec // there is no call for all threads
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// errCgo is what the Go runtime's refusal means.
var errCgo = errors.New("this binary was built with cgo, which hides threads from the Go runtime: build with CGO_ENABLED=0")

// allThreads makes a system call in every thread. The calls here have the same result
// in all of them, as all have the same privileges.
//
//go:uintptrescapes
func allThreads(trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
	switch {
	case errors.Is(errno, syscall.ENOTSUP):
		return errCgo
	case errno != 0:
		return errno
	}
	return nil
}

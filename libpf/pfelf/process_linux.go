// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
)

// deletedSuffix is what the kernel adds to the path of a file that has no name
// any more.
const deletedSuffix = " (deleted)"

// OpenProcess opens the ELF file that process pid has mapped at [start, end).
// path is the name of the file as the process sees it, as in its maps file. It
// tries, in this order,
//
//  1. /proc/PID/map_files/START-END, which finds deleted files, memfds and files
//     of any mount namespace, but needs privileges;
//  2. the path below /proc/PID/root, without leaving it through symbolic links,
//     and only if it is still the file that is mapped;
//  3. /proc/PID/exe, if that is what path names.
//
// The error holds the reasons of all ways that were tried.
func OpenProcess(pid libpf.PID, start, end uint64, path string) (*File, error) {
	return openProcess("/proc", pid, start, end, path)
}

// openProcess is OpenProcess with the place of the proc file system.
func openProcess(proc string, pid libpf.PID, start, end uint64, path string) (*File, error) {
	dir := proc + "/" + strconv.FormatUint(uint64(pid), 10)
	ways := [...]func() (*os.File, error){
		func() (*os.File, error) { return hostfile.Open(fmt.Sprintf("%s/map_files/%x-%x", dir, start, end)) },
		func() (*os.File, error) { return openInRoot(dir, start, path) },
		func() (*os.File, error) { return openExe(dir, path) },
	}
	var errs []error
	for _, way := range ways {
		f, err := way()
		if err == nil {
			var ef *File
			if ef, err = fromOSFile(f); err == nil {
				return ef, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("open %s of process %d: %w", path, pid, errors.Join(errs...))
}

// openInRoot opens path in the mount namespace of the process and checks that
// it is what the process has mapped at start.
func openInRoot(dir string, start uint64, path string) (*os.File, error) {
	if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, deletedSuffix) {
		return nil, fmt.Errorf("open %q in root: %w", path, os.ErrNotExist)
	}
	f, err := hostfile.OpenInRoot(dir+"/root", path)
	if err != nil {
		return nil, err
	}
	if want, known := mappedInode(dir+"/maps", start); known {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Ino != want { //nolint:gosec // a descriptor is small
			_ = f.Close() // only read from
			return nil, hostfile.Refuse(hostfile.Replaced, "open %s in root: replaced since it was mapped: %w", path, os.ErrNotExist)
		}
	}
	return f, nil
}

// mappedInode returns the inode that the maps file shows for the mapping that
// starts at start. The device is not compared: overlayfs and btrfs show
// another one in maps than stat does.
func mappedInode(maps string, start uint64) (inode uint64, ok bool) {
	f, err := os.Open(maps) //nolint:gosec // of the kernel
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // only read from
	prefix := fmt.Sprintf("%08x-", start)
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if !strings.HasPrefix(sc.Text(), prefix) {
			continue
		}
		fields := strings.Fields(sc.Text())
		if len(fields) < 5 {
			return 0, false
		}
		inode, err = strconv.ParseUint(fields[4], 10, 64)
		return inode, err == nil
	}
	return 0, false
}

// openExe opens the program of the process if path is its name.
func openExe(dir, path string) (*os.File, error) {
	exe, err := os.Readlink(dir + "/exe")
	if err != nil {
		return nil, err
	}
	if strings.TrimSuffix(exe, deletedSuffix) != strings.TrimSuffix(path, deletedSuffix) {
		return nil, fmt.Errorf("open %s/exe: it is %s: %w", dir, exe, os.ErrNotExist)
	}
	return hostfile.Open(dir + "/exe")
}

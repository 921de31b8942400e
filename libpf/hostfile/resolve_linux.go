// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"errors"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// noOpenat2 is set when the kernel has no openat2, or a filter of system calls
// that does not know it.
var noOpenat2 atomic.Bool

// resolve opens a path as a path only, with dir as its root directory. flags is
// O_NOFOLLOW or 0.
func resolve(dir int, path string, flags int) (int, error) {
	if !noOpenat2.Load() {
		how := unix.OpenHow{
			Flags:   uint64(unix.O_PATH | unix.O_CLOEXEC | flags), //nolint:gosec // flags are not negative
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		}
		// EAGAIN: something was renamed meanwhile, so that ".." could not be trusted.
		for range maxRaces {
			fd, err := retry(func() (int, error) { return unix.Openat2(dir, path, &how) })
			switch {
			case errors.Is(err, unix.EAGAIN):
				continue
			case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
				noOpenat2.Store(true)
			default:
				return fd, err
			}
			break
		}
		if !noOpenat2.Load() {
			return -1, unix.EAGAIN
		}
	}
	return walk(dir, path, flags)
}

const (
	maxRaces = 16
	maxLinks = 40  // as in the kernel
	maxDepth = 128 // open folders at a time
)

// walk is resolve for kernels without openat2 (before 5.6): it opens component by
// component and never follows a link, but puts what it says in its place.
func walk(root int, path string, flags int) (int, error) {
	top, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// The folders from the root to the current one: ".." goes back in it, as a
	// folder that is moved meanwhile may have another parent.
	open := []int{top}
	closeTo := func(n int) {
		for _, fd := range open[n:] {
			_ = unix.Close(fd) // only a path
		}
		open = open[:n]
	}
	defer func() { closeTo(0) }()
	links := 0
	isFolder := true // the last of open
	parts := components(path)
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		if !isFolder {
			return -1, unix.ENOTDIR
		}
		switch part {
		case "", ".":
			continue
		case "..":
			closeTo(max(1, len(open)-1))
			continue
		}
		fd, err := unix.Openat(open[len(open)-1], part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		open = append(open, fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return -1, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if len(open) > maxDepth {
				return -1, unix.ENAMETOOLONG
			}
			isFolder = st.Mode&unix.S_IFMT == unix.S_IFDIR
			continue
		}
		if len(parts) == 0 && flags&unix.O_NOFOLLOW != 0 {
			break
		}
		if links++; links > maxLinks || isMagic(fd) {
			return -1, unix.ELOOP
		}
		target, err := readlink(fd)
		if err != nil {
			return -1, err
		}
		closeTo(len(open) - 1)
		if strings.HasPrefix(target, "/") {
			closeTo(1)
		}
		parts = append(components(target), parts...)
	}
	last := open[len(open)-1]
	open = open[:len(open)-1]
	return last, nil
}

// components splits a path. An empty one at the end, of a path that ends with a
// slash, says as in the kernel that a folder is meant, which is refused later.
func components(path string) []string { return strings.Split(path, "/") }

// isMagic reports whether a link is one of /proc, which may lead anywhere.
func isMagic(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) != nil || fs.Type == unix.PROC_SUPER_MAGIC
}

func readlink(fd int) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

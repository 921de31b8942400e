// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens a regular file for reading. Links are followed, those of /proc, such
// as /proc/PID/exe, as well; for a path that a process chose see [OpenInRoot].
func Open(path string) (*os.File, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, pathError(path, err)
	}
	return read(fd, path)
}

// OpenInRoot opens a regular file for reading whose path is resolved below root, such
// as /proc/PID/root, as a process does that has it as its root directory. The last
// component may be a link too, unless it must not be: see [OpenInRootNoFollow].
func OpenInRoot(root, path string) (*os.File, error) { return openInRoot(root, path, 0) }

// OpenInRootNoFollow is OpenInRoot for files that are no links themselves.
func OpenInRootNoFollow(root, path string) (*os.File, error) {
	return openInRoot(root, path, unix.O_NOFOLLOW)
}

func openInRoot(root, path string, flags int) (*os.File, error) {
	dir, err := retry(func() (int, error) { return unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, pathError(root, err)
	}
	defer func() { _ = unix.Close(dir) }() // only a path
	fd, err := resolve(dir, path, flags)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		return nil, Refuse(Link, "open %s in %s: a link that leads elsewhere, or too many", path, root)
	}
	name := root + "/" + strings.TrimLeft(path, "/")
	if err != nil {
		return nil, pathError(name, err)
	}
	return read(fd, name)
}

// pseudoFileSystems have files with a content of their own making. Only those
// are refused, as there is no end of file systems that hold executables.
var pseudoFileSystems = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.TRACEFS_MAGIC, unix.DEBUGFS_MAGIC, unix.SECURITYFS_MAGIC,
	unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.SELINUX_MAGIC, unix.SMACK_MAGIC,
	unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC, unix.NSFS_MAGIC, unix.BINFMTFS_MAGIC, unix.DEVPTS_SUPER_MAGIC,
	0x62656570, // CONFIGFS_MAGIC, fs/configfs/mount.c
	0x5df5,     // DEVMEM_MAGIC
}

// read opens for reading what a descriptor stands for that was opened as a path,
// and closes it.
func read(fd int, name string) (*os.File, error) {
	defer func() { _ = unix.Close(fd) }() // only a path
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFLNK: // opened without following it
		return nil, Refuse(Link, "open %s: it is a link", name)
	default:
		return nil, Refuse(NotRegular, "open %s: %w", name, ErrNotRegular)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	if slices.Contains(pseudoFileSystems, int64(fs.Type)) { //nolint:unconvert // differs by architecture
		return nil, Refuse(PseudoFile, "open %s: its content is made up when it is read", name)
	}
	// The same file whatever has become of its path. O_NONBLOCK is for leases, whose
	// holder may otherwise take its time.
	link := "/proc/self/fd/" + strconv.Itoa(fd)
	file, err := retry(func() (int, error) {
		return unix.Open(link, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, pathError(name, err)
	}
	return os.NewFile(uintptr(file), name), nil
}

// OwnedBy checks that a file belongs to one of the users.
func OwnedBy(f *os.File, users ...uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil { //nolint:gosec // a descriptor is small
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if !slices.Contains(users, st.Uid) {
		return Refuse(Owner, "%s belongs to user %d", f.Name(), st.Uid)
	}
	return nil
}

// retry repeats what a signal interrupted.
func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func pathError(path string, err error) error { return &os.PathError{Op: "open", Path: path, Err: err} }

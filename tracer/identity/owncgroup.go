// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ownCgroup says where the resolver stands in the tree of cgroups. The kernel writes
// paths as the reader may see them: to a program in a cgroup namespace of its own, its
// own container is "/", one beside it "/../docker-ID.scope", and a second container of
// its own pod "/../cri-containerd-ID.scope", without the pod.
type ownCgroup struct {
	// hidden says that the program is in a cgroup namespace of its own.
	hidden bool
	// path is that of the root of the namespace in the tree of the host, "" when it is not known.
	path string
	// hierarchies are those where it is known. On hosts with several, the same process may
	// stand in its container's cgroup in one and in the root of the host in another.
	hierarchies []hierarchy
	// hostRoot is where the host's tree can be seen, if it is the unified one.
	hostRoot string
}

// hierarchy is a tree of cgroups. Each has a root of the namespace of its own.
type hierarchy struct {
	// options are those of its mounts, which have its controllers; "" is the unified one.
	options, path string
}

// holds reports whether lines of /proc/PID/cgroup with these controllers are of h.
func (h *hierarchy) holds(controllers string) bool {
	if controllers == "" || h.options == "" {
		return controllers == h.options
	}
	options := strings.Split(h.options, ",")
	for c := range strings.SplitSeq(controllers, ",") {
		if !slices.Contains(options, c) {
			return false
		}
	}
	return true
}

// initialCgroupNamespace is the inode of the host's namespace: PROC_CGROUP_INIT_INO
// of the kernel's include/uapi/linux/nsfs.h, the same on all hosts.
const initialCgroupNamespace = "cgroup:[4026531835]"

// Bounds of the search for the own cgroup. Hosts with thousands of cgroups exist, and
// containers are a few levels deep.
const (
	maxSearchedCgroups = 50_000
	maxCgroupDepth     = 16
)

// findOwnCgroup finds where this program stands. Where its cgroup is hidden it looks for
// the directory with the inode of its own root in the tree that process 1 sees, which is the
// host's if there is the host's PID namespace.
func findOwnCgroup(proc string, mountinfo []byte) ownCgroup {
	namespace, err := os.Readlink(filepath.Join(proc, "self", "ns", "cgroup"))
	if err != nil || namespace == initialCgroupNamespace {
		return ownCgroup{}
	}
	own := ownCgroup{hidden: true}
	mine := cgroupMounts(mountinfo, func(m, _ mount) bool { return m.root == "/" })
	first, err := readLimited(filepath.Join(proc, "1", "mountinfo"), maxMountinfoBytes)
	if err != nil {
		return own
	}
	// Of several of process 1 that which shows most.
	host := cgroupMounts(first, func(m, known mount) bool {
		return strings.HasPrefix(known.root, m.root) && strings.HasPrefix(m.root, "/..")
	})
	for device, m := range mine {
		h, ok := host[device]
		if !ok || m.root != "/" || h.root == "/" { // the host's root is "/.." from here, or above
			continue
		}
		top := filepath.Join(proc, "1", "root", h.point)
		found := findInode(top, inode(m.point), own.path)
		switch {
		case found == "":
		case m.fsType == "cgroup2":
			own.hierarchies = append(own.hierarchies, hierarchy{path: found})
			own.hostRoot, own.path = top, found
		default:
			own.hierarchies = append(own.hierarchies, hierarchy{options: m.options, path: found})
			if own.hostRoot == "" {
				own.path = found
			}
		}
	}
	return own
}

// cgroupMounts returns the mounts of cgroup hierarchies by device, of several of one
// device the last that is better than those before.
func cgroupMounts(mountinfo []byte, better func(m, known mount) bool) map[string]mount {
	found := map[string]mount{}
	mounts(bytes.NewReader(mountinfo), func(m mount) bool {
		if m.fsType != "cgroup" && m.fsType != "cgroup2" {
			return true
		}
		if known, ok := found[m.device]; !ok || better(m, known) {
			found[m.device] = m
		}
		return true
	})
	return found
}

// findInode returns the path, below top, of the directory with an inode, "" if it is
// not found within the bounds. guess is where to look first.
func findInode(top string, want uint64, guess string) string {
	if want == 0 {
		return ""
	}
	if guess != "" && inode(filepath.Join(top, guess)) == want {
		return guess
	}
	found, searched := "", 0
	_ = filepath.WalkDir(top, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // gone, or not to be seen: others may be
		}
		if searched++; searched > maxSearchedCgroups {
			return filepath.SkipAll
		}
		below := strings.TrimPrefix(at, top)
		if strings.Count(below, "/") > maxCgroupDepth {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // gone
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Ino == want {
			found = path.Join("/", below)
			return filepath.SkipAll
		}
		return nil
	})
	return found
}

// absolute writes the paths of /proc/PID/cgroup as the host would see them, where that is known.
func (o *ownCgroup) absolute(cgroup []byte) []byte {
	if len(o.hierarchies) == 0 {
		return cgroup
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(cgroup)) {
		line = strings.TrimSuffix(line, "\n")
		id, rest, _ := strings.Cut(line, ":")
		controllers, below, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(below, "/") {
			continue
		}
		for _, h := range o.hierarchies {
			if h.holds(controllers) {
				line = id + ":" + controllers + ":" + path.Join(h.path, below)
				break
			}
		}
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

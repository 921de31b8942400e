// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// maxMounts bounds how much of a mount table is read. Runtimes mount the files
// looked for here last, and hosts with thousands of mounts exist.
const maxMounts = 20_000

// mount is what is used of a line of /proc/PID/mountinfo.
type mount struct {
	// root is the path inside the mounted file system, point where it is seen; device
	// is the same for all mounts of one file system, and so are its options.
	device, root, point, fsType, options string
}

// parseMount reads one line of a mountinfo file; see proc_pid_mountinfo(5).
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	if !ok {
		return mount{}, false
	}
	fields := strings.Fields(before)
	if len(fields) < 6 {
		return mount{}, false
	}
	fsType, _, _ := strings.Cut(after, " ")
	return mount{
		device: fields[2], root: unescapeMount(fields[3]), point: unescapeMount(fields[4]),
		fsType: fsType, options: after[strings.LastIndexByte(after, ' ')+1:],
	}, true
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// mounts calls yield for the mounts of a mountinfo file until it returns false.
func mounts(r io.Reader, yield func(mount) bool) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), 64<<10)
	for n := 0; n < maxMounts && lines.Scan(); n++ {
		m, ok := parseMount(lines.Text())
		if ok && !yield(m) {
			return
		}
	}
}

// containerOfMounts finds the container in a mount table. A process in a cgroup
// namespace of its own shows "/" as its cgroup, but container runtimes
// mount files from their own directory of the container over a few well-known
// places:
//
//	docker      …/containers/ID/{hostname,hosts,resolv.conf}
//	podman      …/{overlay,vfs,btrfs}-containers/ID/userdata/{hostname,hosts,resolv.conf,.containerenv}
//	containerd  …/io.containerd.grpc.v1.cri/sandboxes/ID/{hostname,resolv.conf}
//	kubelet     …/pods/UID/etc-hosts, …/pods/UID/containers/NAME/HASH
//
// The ID of a containerd sandbox is that of the pod's first container, the best
// there is.
func containerOfMounts(r io.Reader) container {
	var c container
	sandbox := ""
	mounts(r, func(m mount) bool {
		switch m.point {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/termination-log", "/run/.containerenv":
		default:
			return true
		}
		elements := strings.Split(m.root, "/")
		for i := 0; i+2 < len(elements); i++ {
			value := elements[i+1]
			switch elements[i] {
			case "containers", "overlay-containers", "vfs-containers", "btrfs-containers", "": // "" where that directory is a file system of its own
				switch {
				case isHex(value, 64):
					c.id = value
				case c.podUID != "" && m.point == "/dev/termination-log" && i > 0 && elements[i-1] == c.podUID:
					c.name = value
				}
			case "sandboxes":
				if isHex(value, 64) {
					sandbox = value
				}
			case "pods":
				if uid := podUID(value); uid != "" {
					c.podUID = uid
				}
			}
		}
		return true
	})
	if c.id == "" {
		c.id = sandbox
	}
	return c
}

// cgroup2Mount finds where the unified hierarchy is mounted as a whole, "" if nowhere.
func cgroup2Mount(mountinfo []byte) string {
	point := ""
	mounts(bytes.NewReader(mountinfo), func(m mount) bool {
		if m.fsType == "cgroup2" && m.root == "/" {
			point = m.point
		}
		return point == ""
	})
	return point
}

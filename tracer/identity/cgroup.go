// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"slices"
	"strings"
)

// container is what a path or a mount table tells about the container of a process.
type container struct {
	id, name, podUID string
}

// merge fills what c does not know from o.
func (c container) merge(o container) container {
	if c.id == "" {
		c.id = o.id
	}
	if c.name == "" {
		c.name = o.name
	}
	if c.podUID == "" {
		c.podUID = o.podUID
	}
	return c
}

// cgroups is what is used of /proc/PID/cgroup.
type cgroups struct {
	container
	// v2 is the path in the unified hierarchy, "" when there is none.
	v2 string
}

// parseCgroup reads the contents of /proc/PID/cgroup, lines of the form
// "ID:CONTROLLERS:PATH". On hosts with cgroup v1 the path may differ by
// hierarchy; the first one that names a container wins.
func parseCgroup(b []byte) cgroups {
	var out cgroups
	for line := range strings.Lines(string(b)) {
		id, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(path, "/") {
			continue
		}
		if id == "0" && controllers == "" {
			out.v2 = path
		}
		out.container = out.merge(containerOfPath(path))
	}
	return out
}

// containerOfPath finds the container in the path of a cgroup. Containers nest
// (Docker in Docker, kind) and their processes may make cgroups of their own
// (systemd in a container), so the innermost element that names one counts.
func containerOfPath(path string) container {
	var c container
	elements := strings.Split(path, "/")
	for i, element := range slices.Backward(elements) {
		parent := ""
		if i > 0 {
			parent = elements[i-1]
		}
		if c.id == "" && c.name == "" {
			c.id, c.name = containerOfElement(element, parent)
		}
		if c.podUID == "" {
			c.podUID = podOfElement(element)
		}
	}
	if c.id == "" && c.name == "" {
		// A pod's own cgroup holds no process of a user; without a container
		// inside, its name is an accident.
		c.podUID = ""
	}
	return c
}

// containerOfElement finds the ID, or for machines without one the name, of the
// container that an element of a cgroup path stands for.
func containerOfElement(element, parent string) (id, name string) {
	// A scope of systemd; without systemd the same runtimes leave the suffix out.
	base := strings.TrimSuffix(element, ".scope")
	// containerd told to use systemd by a runtime that does not: "slice:prefix:id".
	if i := strings.LastIndexByte(base, ':'); i >= 0 {
		base = base[i+1:]
	}
	if isHex(base, 64) {
		return base, ""
	}
	switch {
	case parent == "garden" && isUUID(base):
		return base, ""
	case isECSTask(base):
		return base, ""
	case parent == "buildkit" && isBuild(base):
		return base, ""
	}
	if prefix, step, ok := strings.Cut(base, "-"); ok && (prefix == "docker" || prefix == "buildkit") && isBuild(step) {
		return step, "" // a build of Docker with the driver systemd
	}
	if allocation, task, ok := nomadTask(base, parent); ok {
		return allocation, task
	}
	for _, prefix := range []string{"lxc.payload.", "systemd-nspawn@"} {
		if machine, ok := strings.CutPrefix(base, prefix); ok {
			return "", unescapeUnit(strings.TrimSuffix(machine, ".service"))
		}
	}
	if parent == "lxc" && base != "" {
		return "", base
	}
	// docker-ID, cri-containerd-ID, crio-ID, libpod-ID, crun-ID, ...
	i := strings.LastIndexByte(base, '-')
	if i <= 0 || !isHex(base[i+1:], 64) {
		if machine, ok := strings.CutPrefix(base, "machine-"); ok && parent == "machine.slice" {
			return "", unescapeUnit(machine)
		}
		return "", ""
	}
	// The monitor of a container lives beside it, not in it.
	if strings.HasSuffix(base[:i], "conmon") {
		return "", ""
	}
	return base[i+1:], ""
}

// podOfElement finds the UID of a Kubernetes pod in an element of a cgroup path:
// "podUID", or "kubepods-CLASS-podUID.slice" with underscores for dashes.
func podOfElement(element string) string {
	if i := strings.IndexByte(element, ':'); i >= 0 {
		element = element[:i]
	}
	if base, ok := strings.CutSuffix(element, ".slice"); ok {
		i := strings.LastIndex(base, "-pod")
		if i < 0 || !strings.HasPrefix(base, "kube") {
			return ""
		}
		return podUID(strings.ReplaceAll(base[i+len("-pod"):], "_", "-"))
	}
	uid, ok := strings.CutPrefix(element, "pod")
	if !ok {
		return ""
	}
	return podUID(uid)
}

// podUID returns s if it looks like the UID of a pod, else "". Static pods have
// a hash of 32 digits in place of a UUID.
func podUID(s string) string {
	if isUUID(s) || isHex(s, 32) {
		return s
	}
	return ""
}

// unescapeUnit undoes the escaping of systemd for the one character that names
// of machines often have.
func unescapeUnit(s string) string { return strings.ReplaceAll(s, `\x2d`, "-") }

// isECSTask recognises the containers of ECS on Fargate: 32 digits of the task, a
// dash, and the decimal number of the container.
func isECSTask(s string) bool {
	task, number, ok := strings.Cut(s, "-")
	if !ok || !isHex(task, 32) || len(number) < 6 || len(number) > 20 {
		return false
	}
	return strings.Trim(number, "0123456789") == ""
}

// isBuild recognises the steps of BuildKit: 25 digits in base 36.
func isBuild(s string) bool {
	return len(s) == 25 && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// nomadTask takes apart the cgroup of a task that Nomad runs without another runtime,
// "ALLOCATION.TASK" in one of Nomad's own groups. Several tasks share an allocation.
func nomadTask(base, parent string) (allocation, task string, ok bool) {
	switch parent {
	case "nomad", "nomad.slice", "share.slice", "reserve.slice", "share", "reserve":
	default:
		return "", "", false
	}
	allocation, task, ok = strings.Cut(base, ".")
	if !ok || !isUUID(allocation) || task == "" {
		return "", "", false
	}
	return allocation, task, true
}

// isUUID reports whether s has the form 8-4-4-4-12 in hexadecimal digits.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return isHex(strings.ReplaceAll(s, "-", ""), 32)
}

// isHex reports whether s is made of exactly n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// SPDX-License-Identifier: Apache-2.0

// Package hostinfo describes the host that the agent runs on: its name, an ID
// that stays the same for the life of its installation, and its hardware and
// system.
//
// The agent may run in a container while it profiles the host. Where the host
// differs from what the agent sees of itself, the first process of the PID
// namespace, which the agent shares with the host, leads to the host's files.
package hostinfo

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
)

// Options say where to look. The zero value is usable.
type Options struct {
	// Root precedes all paths; "" for the real ones.
	Root string
	// StateDir is where an ID is kept on hosts that have none; DefaultStateDir if "".
	StateDir string
	// Name and ID, if not "", are taken as they are.
	Name, ID string
	// Tags are the operator's own labels of the host.
	Tags []libpf.Label
}

// DefaultStateDir is where an ID is kept on hosts without a machine ID.
const DefaultStateDir = "/var/lib/strobe"

// Host names a host.
type Host struct {
	// Name is the name that people know it by, ID the one that stays.
	Name, ID string
	// IDSource says where the ID comes from, for logs.
	IDSource string
}

// Identify finds out the name and the ID of the host. It may write a file in
// StateDir.
func Identify(o Options) Host {
	h := Host{Name: cmp.Or(o.Name, o.hostName(), "localhost"), ID: o.ID, IDSource: "configuration"}
	if h.ID == "" {
		h.ID, h.IDSource = o.hostID(h.Name)
	}
	return h
}

func (o Options) path(p string) string { return filepath.Join(o.Root, p) }

// firstLine returns the first line of a file without white space, "" if there is none.
func (o Options) firstLine(p string) string {
	b, err := o.read(p)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte{'\n'})
	return strings.ToValidUTF8(string(bytes.TrimSpace(line)), "?")
}

// maxText bounds the files of which one line is wanted.
const maxText = 64 << 10

// read reads a file. Those of the host, seen from a container, are looked for with
// the host's root as "/", where links in them lead to the right place.
func (o Options) read(p string) ([]byte, error) {
	const hostRoot = "/proc/1/root"
	rest, ofHost := strings.CutPrefix(p, hostRoot)
	if !ofHost {
		return os.ReadFile(o.path(p))
	}
	f, err := hostfile.OpenInRoot(o.path(hostRoot), rest)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return hostfile.ReadAll(f, maxText)
}

// hostName returns the name of the host. In a container with its own UTS
// namespace the kernel tells the container's name, and the host's is in a file.
func (o Options) hostName() string {
	own, _ := os.Readlink(o.path("/proc/self/ns/uts"))
	host, err := os.Readlink(o.path("/proc/1/ns/uts"))
	if err == nil && own != host {
		if name := o.firstLine("/proc/1/root/etc/hostname"); name != "" {
			return name
		}
	}
	return cmp.Or(o.firstLine("/proc/sys/kernel/hostname"), o.firstLine("/etc/hostname"))
}

// idKey makes the IDs of hosts in Strobe different from those that anything else
// derives from the same machine ID, which machine-id(5) demands to be kept confidential.
const idKey = "strobe host id v1"

// derive makes an ID from a secret one.
func derive(secret string) string {
	mac := hmac.New(sha256.New, []byte(idKey))
	mac.Write([]byte(secret))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// hostID returns an ID that survives restarts of the agent and of the host if
// there is any way to have one.
func (o Options) hostID(name string) (id, source string) {
	// The file of the agent's own container, if it runs in one, is that of its image.
	for _, p := range []string{"/proc/1/root/etc/machine-id", "/etc/machine-id", "/var/lib/dbus/machine-id"} {
		secret := o.firstLine(p)
		// Images ship the text "uninitialized" before the first boot.
		if b, err := hex.DecodeString(secret); err == nil && len(b) == 16 {
			return derive(secret), "machine ID"
		}
	}
	kept := filepath.Join(cmp.Or(o.StateDir, o.path(DefaultStateDir)), "host-id")
	if b, err := os.ReadFile(kept); err == nil { //nolint:gosec // named by the operator
		if id := strings.TrimSpace(string(b)); len(id) == 32 {
			return id, kept
		}
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // cannot fail
	id = hex.EncodeToString(random)
	if err := keep(kept, id); err == nil {
		return id, kept
	}
	// At least until the next boot.
	if boot := o.firstLine("/proc/sys/kernel/random/boot_id"); boot != "" {
		return derive(boot), "boot ID"
	}
	return derive(name), "host name"
}

func keep(path, id string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the file in it is private
		return err
	}
	return os.WriteFile(path, []byte(id+"\n"), 0o600)
}

// Keys of metadata whose values change all the time. They do not make the
// metadata worth sending again.
const uptimeKey = "host.uptime_seconds"

// Metadata describes the host in the terms of OpenTelemetry where it has any.
// Keys without a value are left out.
func Metadata(o Options, h Host, agentVersion string) map[string]string {
	m := map[string]string{
		"host.name":           h.Name,
		"host.id":             h.ID,
		"host.arch":           runtime.GOARCH,
		"host.cpu.count":      strconv.Itoa(runtime.NumCPU()),
		"host.cpu.model.name": o.field("/proc/cpuinfo", "model name"),
		"host.cpu.vendor.id":  o.field("/proc/cpuinfo", "vendor_id"),
		"host.memory.bytes":   o.memory(),
		"host.boot_time":      o.bootTime(),
		"host.cgroup.version": o.cgroupVersion(),
		"host.virtualization": o.virtualization(),
		"host.machine":        strings.Trim(o.firstLine("/sys/class/dmi/id/sys_vendor")+" "+o.firstLine("/sys/class/dmi/id/product_name"), " "),
		"os.type":             "linux",
		"os.name":             o.release("NAME"),
		"os.version":          o.release("VERSION_ID"),
		"os.description":      o.release("PRETTY_NAME"),
		"kernel.release":      o.firstLine("/proc/sys/kernel/osrelease"),
		"kernel.version":      o.firstLine("/proc/sys/kernel/version"),
		"agent.name":          "strobe",
		"agent.version":       agentVersion,
		"agent.runtime":       runtime.Version(),
		uptimeKey:             o.uptime(),
	}
	for _, tag := range o.Tags {
		m["host.tag."+tag.Key] = tag.Value
	}
	for key, value := range m {
		if value == "" {
			delete(m, key)
		}
	}
	return m
}

// Changed reports whether metadata differs in more than what changes all the time.
func Changed(before, after map[string]string) bool {
	if len(before) != len(after) {
		return true
	}
	for key, value := range after {
		if old, ok := before[key]; key != uptimeKey && (!ok || old != value) {
			return true
		}
	}
	return false
}

// conventions are the names of OpenTelemetry for what Metadata calls otherwise. "" leaves
// out what has no place in a resource, which tells one sender from another: it changes.
var conventions = map[string]string{
	"agent.name":    "telemetry.distro.name",
	"agent.version": "telemetry.distro.version",
	uptimeKey:       "",
}

// Resource returns metadata as attributes of a resource of OpenTelemetry.
func Resource(metadata map[string]string) map[string]string {
	out := make(map[string]string, len(metadata))
	for key, value := range metadata {
		name, other := conventions[key]
		if !other {
			name = key
		}
		if name != "" {
			out[name] = value
		}
	}
	return out
}

// field returns the value of the first line "name : value" of a file.
func (o Options) field(path, name string) string {
	f, err := os.Open(o.path(path))
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (o Options) memory() string {
	digits, unit, _ := strings.Cut(o.field("/proc/meminfo", "MemTotal"), " ")
	n, err := strconv.ParseUint(digits, 10, 50)
	if err != nil || unit != "kB" {
		return ""
	}
	return strconv.FormatUint(n*1024, 10)
}

// bootTime is what the kernel takes as the time of boot. It moves by a second
// when the clock is corrected, so it is rounded to where that does not show.
func (o Options) bootTime() string {
	f, err := os.ReadFile(o.path("/proc/stat"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(f)) {
		if digits, ok := strings.CutPrefix(line, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64); err == nil {
				return time.Unix(n, 0).UTC().Round(time.Minute).Format(time.RFC3339)
			}
		}
	}
	return ""
}

func (o Options) uptime() string {
	seconds, _, _ := strings.Cut(o.firstLine("/proc/uptime"), ".")
	return seconds
}

// release returns a value of os-release(5) of the host.
func (o Options) release(name string) string {
	for _, p := range []string{"/proc/1/root/etc/os-release", "/etc/os-release", "/usr/lib/os-release"} {
		b, err := os.ReadFile(o.path(p))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
				return strings.ToValidUTF8(strings.Trim(value, `"'`), "?")
			}
		}
	}
	return ""
}

// cgroupVersion says which cgroup hierarchies are mounted: 1, 2, or both as "hybrid".
func (o Options) cgroupVersion() string {
	b, err := os.ReadFile(o.path("/proc/self/mountinfo"))
	if err != nil {
		return ""
	}
	one, two := bytes.Contains(b, []byte(" - cgroup ")), bytes.Contains(b, []byte(" - cgroup2 "))
	switch {
	case one && two:
		return "hybrid"
	case two:
		return "2"
	case one:
		return "1"
	}
	return ""
}

// vendors maps what firmware calls its maker to the name of the hypervisor.
var vendors = []struct{ prefix, name string }{
	{"QEMU", "qemu"}, {"KVM", "kvm"}, {"Amazon EC2", "amazon"}, {"Google", "google"}, {"VMware", "vmware"},
	{"innotek", "virtualbox"}, {"Oracle", "oracle"}, {"Xen", "xen"}, {"Microsoft", "microsoft"},
	{"Parallels", "parallels"}, {"DigitalOcean", "digitalocean"}, {"Hetzner", "hetzner"}, {"OpenStack", "openstack"},
}

// virtualization is a hint at what the host runs on, "none" for bare metal.
func (o Options) virtualization() string {
	if kind := o.firstLine("/sys/hypervisor/type"); kind != "" {
		return kind
	}
	vendor := o.firstLine("/sys/class/dmi/id/sys_vendor")
	for _, v := range vendors {
		if strings.HasPrefix(vendor, v.prefix) {
			return v.name
		}
	}
	flags := o.field("/proc/cpuinfo", "flags")
	switch {
	case flags == "":
		return "" // this architecture does not say
	case strings.Contains(fmt.Sprintf(" %s ", flags), " hypervisor "):
		return "vm"
	}
	return "none"
}

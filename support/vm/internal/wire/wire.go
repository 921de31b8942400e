// SPDX-License-Identifier: Apache-2.0

// Package wire is what the host and the init of a guest say to each other.
package wire

// Names of the virtio ports, and of the files in the initramfs.
const (
	OutputPort = "strobe.output"
	ResultPort = "strobe.result"
	ConfigFile = "/vm.json"
	ModulesDir = "/modules"
	FilesDir   = "/files"
	// ResultFile is the last file of the archive that comes through ResultPort.
	ResultFile = "vm-result.json"
)

// Config is what a guest is to do.
type Config struct {
	// Modules are files in ModulesDir in the order of loading.
	Modules []string `json:"modules"`
	// Root is the type of the file system on the first disk, "" for none: the
	// initramfs is the root then.
	Root string `json:"root"`
	// Cgroup is "v2", "v1" or "hybrid".
	Cgroup string `json:"cgroup"`
	// Without lists mount points that are left out, such as /sys/kernel/tracing.
	Without  []string `json:"without"`
	Hostname string   `json:"hostname"`
	// Time is the time of the host, in seconds since the epoch.
	Time int64 `json:"time"`

	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Dir     string   `json:"dir"`
	Seconds int      `json:"seconds"`
	// Collect are files and folders to hand back.
	Collect []string `json:"collect"`
}

// Result is what became of the command.
type Result struct {
	// Status is the exit status, 128 and the signal's number if one ended it.
	Status   int    `json:"status"`
	TimedOut bool   `json:"timed_out"`
	Error    string `json:"error"`
	// Warnings say what could not be mounted or collected.
	Warnings []string `json:"warnings"`
	Kernel   string   `json:"kernel"`
	// BootSeconds is the time from the start of the kernel to that of the command.
	BootSeconds float64 `json:"boot_seconds"`
	Seconds     float64 `json:"seconds"`
}

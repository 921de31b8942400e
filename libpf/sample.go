// SPDX-License-Identifier: Apache-2.0

package libpf

import "strconv"

// PID is the ID of a process as the host sees it (the kernel's tgid).
type PID uint32

// TID is the ID of a thread as the host sees it (the kernel's pid).
type TID uint32

// Label is a key and a value that the program or its environment attached.
type Label struct {
	Key, Value string
}

// Process is what is known of a process at the time of a sample. One value is
// shared by all samples of the process until something of it changes; it is
// never changed in place, so it may be compared by pointer first.
type Process struct {
	PID PID
	// StartTime is when the process started, in nanoseconds since boot. With
	// PID it names the process uniquely on its host.
	StartTime uint64
	// Name is the process's own name (comm of the main thread).
	Name string
	// Executable is the path of the executable as the process sees it.
	Executable string
	// ExecutableID is the file ID of the executable, zero when it could not be read.
	ExecutableID FileID
	// CommandLine is empty unless the user asked for command lines.
	CommandLine string
	// ContainerID, ContainerName, PodName and Namespace are empty outside containers.
	ContainerID, ContainerName, PodName, Namespace string
	// CgroupID is the inode of the process's cgroup v2 directory, 0 when unknown.
	CgroupID uint64
	// Service is never empty: OTEL_SERVICE_NAME, else the container, else the executable.
	Service string
	// OwnService says that Service is what the process calls itself and not made of
	// something else, so that nothing that is found out later takes its place.
	OwnService bool
	// Labels are further attributes, sorted by key.
	Labels []Label
}

// Sample is one observation of a stack.
type Sample struct {
	// Time is when the kernel took the sample.
	Time UnixTimeNs
	Type SampleType
	// Count is how many observations this is, at least 1.
	Count uint32
	// Value is the sum over the observations, in the unit of Type.
	Value int64
	// Trace is the stack.
	Trace *Trace
	// Process is never nil.
	Process *Process
	TID     TID
	// Comm is the name of the thread.
	Comm string
	CPU  uint32
	// Labels are set by the program for this part of its work, sorted by key.
	Labels []Label
	// TraceID and SpanID link to a span of a distributed trace; zero when there is none.
	TraceID [16]byte
	SpanID  [8]byte
}

// Executable is what is known of an executable file.
type Executable struct {
	FileID FileID
	// FileName is the base name, such as libc.so.6, or [kernel.kallsyms], [vdso].
	FileName string
	// BuildID is the GNU build ID in hexadecimal, or the Go build ID.
	BuildID string
	// Runtime is the interpreter that the file holds, such as "python", "" for
	// any other file. Its native frames are the interpreter's own work.
	Runtime string
}

// String returns the number in decimal.
func (p PID) String() string { return strconv.FormatUint(uint64(p), 10) }

// String returns the number in decimal.
func (t TID) String() string { return strconv.FormatUint(uint64(t), 10) }

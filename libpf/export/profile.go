// SPDX-License-Identifier: Apache-2.0

package export

import "github.com/strobe-profiler/strobe/libpf"

// Sample is a stack and how often it was seen.
type Sample struct {
	// Frames are the stack, leaf first. The writers expand their Lines.
	Frames []libpf.Frame
	// Root are levels above the outermost frame, outermost first, such as the
	// name of the thread. [WriteFolded] writes them as frames; [WritePprof]
	// leaves them out, Labels carry them there.
	Root []string
	// Labels say where the sample comes from. Only [WritePprof] writes them.
	Labels []libpf.Label
	// Count is the number of observations, Value their sum in the unit of the
	// profile's type.
	Count, Value int64
}

// Profile is what the writers write.
type Profile struct {
	Type libpf.SampleType
	// From and To bound the time covered.
	From, To libpf.UnixTimeNs
	// Period is the time between two observations in nanoseconds, 0 when unknown.
	Period  int64
	Samples []Sample
	// Executables names the files of frames; it may be nil.
	Executables func(libpf.FileID) (libpf.Executable, bool)
}

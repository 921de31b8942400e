// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"

	"github.com/strobe-profiler/strobe/libpf/hostfile"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

const (
	// maxCRC bounds how much of a separate debug file is read for its check
	// sum, in bytes.
	maxCRC = 1 << 30
	// minBuildID is the shortest build ID that is looked for: the first byte
	// is the folder.
	minBuildID = 4
)

// openDebugFile returns the separate file with the debug data of f, nil if
// there is none: by build ID below the debug dirs, else by .gnu_debuglink beside
// the executable, in its .debug folder, and below the debug dirs. The paths are
// those that a process with the executable sees, and the debug dirs are looked at
// on the host as well. A file that does not belong to f is passed over; the error
// says why when nothing else was found.
func openDebugFile(f *pfelf.File, exe *Executable, dirs []string) (*pfelf.File, error) {
	path := exe.Path
	var errs []error
	try := func(open func(string) (*pfelf.File, error), candidate string, matches func(*pfelf.File) error) *pfelf.File {
		if open == nil {
			return nil
		}
		d, err := open(candidate)
		if errors.Is(err, hostfile.ErrRefused) {
			errs = append(errs, err)
		}
		if err != nil {
			return nil // mostly: not there
		}
		if err = matches(d); err == nil {
			return d
		}
		errs = append(errs, fmt.Errorf("%s: %w", candidate, err))
		_ = d.Close() // only read from
		return nil
	}
	beside := exe.OpenBeside
	if beside == nil {
		beside = pfelf.Open
	}
	if id := f.BuildID(); len(id) >= minBuildID {
		for _, dir := range dirs {
			candidate := filepath.Join(dir, ".build-id", id[:2], id[2:]+".debug")
			for _, open := range []func(string) (*pfelf.File, error){exe.OpenBeside, pfelf.Open} {
				if d := try(open, candidate, func(d *pfelf.File) error { return sameBuildID(f, d) }); d != nil {
					return d, nil
				}
			}
		}
	}
	name, crc, ok := f.DebugLink()
	if !ok || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, errors.Join(errs...)
	}
	var candidates []string
	if filepath.IsAbs(path) {
		dir := filepath.Dir(path)
		candidates = append(candidates, filepath.Join(dir, name), filepath.Join(dir, ".debug", name))
		for _, d := range dirs {
			candidates = append(candidates, filepath.Join(d, dir, name))
		}
	}
	for _, candidate := range candidates {
		if candidate == filepath.Clean(path) {
			continue
		}
		if d := try(beside, candidate, func(d *pfelf.File) error { return sameCRC(f, d, crc) }); d != nil {
			return d, nil
		}
	}
	return nil, errors.Join(errs...)
}

var errOtherFile = errors.New("belongs to another executable")

// sameBuildID checks that two files have the same build ID.
func sameBuildID(f, d *pfelf.File) error {
	if f.BuildID() != d.BuildID() {
		return fmt.Errorf("%w: build ID %q", errOtherFile, d.BuildID())
	}
	return nil
}

// sameCRC checks the sum of a debug file, which takes reading all of it. Where
// both files have a build ID, that decides instead.
func sameCRC(f, d *pfelf.File, want uint32) error {
	if f.BuildID() != "" && d.BuildID() != "" {
		return sameBuildID(f, d)
	}
	if d.Size() > maxCRC {
		return fmt.Errorf("%w: %d bytes to check", errTooLarge, d.Size())
	}
	sum := crc32.NewIEEE()
	if _, err := io.CopyBuffer(sum, io.NewSectionReader(d, 0, d.Size()), make([]byte, 256<<10)); err != nil {
		return fmt.Errorf("read for check sum: %w", err)
	}
	if sum.Sum32() != want {
		return fmt.Errorf("%w: check sum %#x instead of %#x", errOtherFile, sum.Sum32(), want)
	}
	return nil
}

// openMiniDebug returns the ELF file packed into .gnu_debugdata, nil if there
// is none.
func openMiniDebug(f *pfelf.File) (*pfelf.File, error) {
	s := f.FindSection(".gnu_debugdata")
	if s == nil {
		return nil, nil //nolint:nilnil // none is no error
	}
	if s.FileSize > maxMiniDebug {
		return nil, fmt.Errorf("%w: .gnu_debugdata of %d bytes", errTooLarge, s.FileSize)
	}
	packed, err := f.SectionData(s.Name)
	if err != nil {
		return nil, err
	}
	b, err := unxz(packed, maxMiniDebug)
	if err != nil {
		return nil, fmt.Errorf(".gnu_debugdata: %w", err)
	}
	d, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf(".gnu_debugdata: %w", err)
	}
	return d, nil
}

// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/internal/smallfile"
)

// A directory says in the file FORMAT of which format it is, and which programs read
// that, so that one that is too old touches nothing and can say which to use. It is
// there before anything of the format is: in a crash between the two, an older
// program is refused for nothing, which is better than the other way round.
//
// A format comes in two steps. A minor version learns to read it and raises formatRead;
// the next one raises formatWritten and formatNeeds, and metaFormat if Pebble is to
// write what it did not. So each minor version reads what its neighbours write, and
// directories can go to the next minor version and back. docs/compatibility.md has the rule.
const (
	formatFile = "FORMAT"
	// formatOldest to formatRead are the formats that this program reads. Format 1 has no
	// levels, no companions, and sorts stacks otherwise; it becomes formatWritten.
	formatOldest  = 1
	formatRead    = 2
	formatWritten = 2
	// formatNeeds is the first Strobe that reads formatWritten.
	formatNeeds = "0.1"

	// metaFormat is what Pebble writes. It is a number and not Pebble's newest, as an
	// update of that library would else keep older programs from the directory.
	metaFormat = pebble.FormatValueSeparation

	maxFormatKiB = 4
)

// errFormat is returned (wrapped) for a directory of a format that this program does not read.
var errFormat = errors.New("the data have a format that this program does not read")

// directoryFormat is what FORMAT says.
type directoryFormat struct {
	Format int `json:"format"`
	// Needs is the first version of Strobe that reads it.
	Needs string `json:"needs"`
}

// text is what the file holds.
func (f directoryFormat) text() []byte {
	b, _ := json.Marshal(f) // has no way to fail
	return append(b, '\n')
}

// check returns an error when this program does not read the format.
func (f directoryFormat) check() error {
	if f.Format >= formatOldest && f.Format <= formatRead {
		return nil
	}
	use := "use the version of Strobe that wrote them"
	if f.Needs != "" {
		use = "use Strobe " + f.Needs + " or newer"
	}
	return fmt.Errorf("%w: format %d, it reads %d to %d; nothing was changed: %s, or start with another directory",
		errFormat, f.Format, formatOldest, formatRead, use)
}

// current is the format of what this program writes.
var current = directoryFormat{Format: formatWritten, Needs: formatNeeds}

// readFormat returns what a directory says of itself; a format of 0 if that is nothing,
// as in new ones and those of before there was the file. It is an error when this
// program must not touch the directory.
func readFormat(dir string) (f directoryFormat, err error) {
	path := filepath.Join(dir, formatFile)
	b, _, err := smallfile.Read(path, maxFormatKiB)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read format: %w", err)
	}
	// What it says beside is for programs that know more.
	if err := json.Unmarshal(b, &f); err != nil || f.Format <= 0 {
		return f, fmt.Errorf("%s says nothing of a format: restore it from a backup, or write %s into it if no newer Strobe ever had the directory",
			path, bytes.TrimSpace(current.text()))
	}
	return f, f.check()
}

// raiseFormat makes a directory say that it is of the format that this program writes,
// unless it is of a newer one already: what a newer program left in it stays.
func raiseFormat(dir string) error {
	f, err := readFormat(dir)
	if err != nil || f.Format >= formatWritten {
		return err
	}
	temporary := filepath.Join(dir, formatFile+".tmp")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a crash
		return fmt.Errorf("write format: %w", err)
	}
	if _, err := writeSynced(bytes.NewReader(current.text()), temporary, 0o640, formatFile); err != nil {
		return fmt.Errorf("write format: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, formatFile)); err != nil {
		return fmt.Errorf("write format: %w", err)
	}
	return syncDir(dir)
}

// formatOfMeta returns the format that the definitions say they have.
func formatOfMeta(value []byte) directoryFormat {
	n, err := strconv.Atoi(string(value))
	if err != nil {
		n = 0
	}
	return directoryFormat{Format: n}
}

// formatEntry is FORMAT as a file of a backup.
func formatEntry(dir string) (snapshotFile, error) {
	f, err := readFormat(dir)
	if err != nil {
		return snapshotFile{}, err
	}
	if f.Format == 0 {
		f = current
	}
	text := f.text()
	return snapshotFile{path: formatFile, size: int64(len(text)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text)), nil
	}}, nil
}

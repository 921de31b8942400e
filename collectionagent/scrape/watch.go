// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"crypto/sha256"
	"os"
	"time"

	"github.com/strobe-profiler/strobe/internal/smallfile"
)

// maxFileKiB bounds the file and those with targets: they are read as a whole, by a
// server at work.
const maxFileKiB = 8 << 10

// settled is the age from which the time of a file tells versions apart: clocks of
// file systems are coarse.
const settled = 2 * time.Second

// watched is a file that is read again when it changes.
type watched struct {
	path string

	info   os.FileInfo
	at     time.Time // when it was read
	sum    [sha256.Size]byte
	known  bool   // sum is that of what was read last
	failed string // why it could not be used, "" if it could
}

// changed returns what is in the file if that is not what it was, or if it could not be
// used. force has it read even if nothing shows that it was written. It returns an
// error as often as it is asked.
func (w *watched) changed(now time.Time, force bool) (content []byte, changed bool, err error) {
	info, err := os.Stat(w.path)
	if err != nil {
		return nil, false, err
	}
	if w.known && !force && w.failed == "" && w.same(info) {
		return nil, false, nil
	}
	if content, _, err = smallfile.Read(w.path, maxFileKiB); err != nil {
		return nil, false, err
	}
	sum := sha256.Sum256(content)
	changed = !w.known || sum != w.sum
	w.info, w.at, w.sum, w.known = info, now, sum, true
	return content, changed || w.failed != "", nil
}

// same reports whether a file is the one that was read.
func (w *watched) same(info os.FileInfo) bool {
	return os.SameFile(info, w.info) && info.Size() == w.info.Size() && info.ModTime().Equal(w.info.ModTime()) &&
		w.at.Sub(info.ModTime()) >= settled
}

// fail notes why the file cannot be used and reports whether that is news. nil: it can.
func (w *watched) fail(err error) (news bool) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	news = text != w.failed
	w.failed = text
	return news
}

// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// ManifestName is the last file of a backup. A backup without it is not whole.
const ManifestName = "MANIFEST.json"

// manifestFormat is the version of a backup.
const manifestFormat = 1

// Manifest says what a backup holds.
type Manifest struct {
	Format  int            `json:"format"`
	Created time.Time      `json:"created"`
	Files   []ManifestFile `json:"files"`
	// Damaged are blocks that were not what they should be when the backup was
	// made. They are in it as they are.
	Damaged []string `json:"damaged,omitempty"`
}

// ManifestFile is a file of a backup.
type ManifestFile struct {
	Path  string `json:"path"` // relative to the data directory, with slashes
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc32c"` // of all bytes
}

// Extra is a file of the data directory that is not the store's own and goes
// with its backups.
type Extra struct {
	Path    string // relative, with slashes
	Content []byte
	Mode    int64 // permissions
}

// WriteBackup writes the snapshot as a tar archive, with further files.
func (p *Snapshot) WriteBackup(ctx context.Context, w io.Writer, extra []Extra) error {
	files, err := p.files()
	if err != nil {
		return err
	}
	m := Manifest{Format: manifestFormat, Created: time.Now().UTC(), Files: make([]ManifestFile, 0, len(files)+len(extra))}
	t := tar.NewWriter(w)
	for i := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		entry, err := files[i].writeTo(t, m.Created)
		if errors.Is(err, errSum) {
			m.Damaged = append(m.Damaged, files[i].path)
		} else if err != nil {
			return fmt.Errorf("back up %s: %w", files[i].path, err)
		}
		m.Files = append(m.Files, entry)
	}
	for _, e := range extra {
		if err := writeTar(t, e.Path, e.Mode, e.Content, m.Created); err != nil {
			return err
		}
		var s summer
		_, _ = s.Write(e.Content)
		m.Files = append(m.Files, ManifestFile{Path: e.Path, Bytes: s.size, CRC: s.whole})
	}
	text, err := json.MarshalIndent(&m, "", "  ")
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err := writeTar(t, ManifestName, 0o640, text, m.Created); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// BackupDir writes the store in a directory, which no server may have open, as a tar archive. bucket
// has the blocks that are in object storage.
func BackupDir(ctx context.Context, dir string, bucket objects.Bucket, w io.Writer, extra []Extra) (err error) {
	unlock, err := lockOffline(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s, err := offline(dir, bucket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.closeOffline()) }()
	p := &Snapshot{Dir: dir, store: s}
	err = scan(s.db, []byte{keyBlock}, func(_, value []byte) error {
		info, err := decodeBlockInfo(value)
		p.blocks = append(p.blocks, info)
		return err
	})
	if err != nil {
		return err
	}
	return p.WriteBackup(ctx, w, extra)
}

// writeTar adds a file to an archive.
func writeTar(t *tar.Writer, path string, mode int64, content []byte, at time.Time) error {
	err := t.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(content)), ModTime: at, Format: tar.FormatPAX})
	if err == nil {
		_, err = t.Write(content)
	}
	if err != nil {
		return fmt.Errorf("back up %s: %w", path, err)
	}
	return nil
}

// writeTo adds the file to an archive. The error is errSum when all is written and
// not what it should be.
func (f *snapshotFile) writeTo(t *tar.Writer, at time.Time) (entry ManifestFile, err error) {
	r, err := f.open()
	if err != nil {
		return entry, err
	}
	defer func() { _ = r.Close() }() // was only read
	if err := t.WriteHeader(&tar.Header{Name: f.path, Mode: 0o640, Size: f.size, ModTime: at, Format: tar.FormatPAX}); err != nil {
		return entry, err
	}
	var s summer
	if _, err := io.CopyN(io.MultiWriter(t, &s), r, f.size); err != nil {
		return entry, err
	}
	entry = ManifestFile{Path: f.path, Bytes: f.size, CRC: s.whole}
	return entry, s.compare(f.sum)
}

// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say which files to use. Files that are not named are not used.
type Options struct {
	// CertFile is the certificate of this end, followed by its intermediates; KeyFile
	// is its key.
	CertFile, KeyFile string
	// CAFile holds the authorities that the other end's certificate must come from.
	CAFile string
	// CAFlag, CertFlag and KeyFlag are the names of the settings in messages. Default:
	// -tls-ca, -tls-cert and -tls-key.
	CAFlag, CertFlag, KeyFlag string
	// CheckInterval is the time for which files are not looked at again. Default: 3 s;
	// negative: none.
	CheckInterval time.Duration
	// MetricsPrefix starts the names of the metrics. Default: strobe.
	MetricsPrefix string
	// Logger receives changes and failures. Default: discard.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

const defaultCheckInterval = 3 * time.Second

// settled is the age from which the time of a file tells versions apart: clocks of
// file systems are coarse.
const settled = 2 * time.Second

// Files are files in use. They are safe for concurrent use, own no goroutine, and
// need no closing.
type Files struct {
	options Options

	mu          sync.Mutex // of looking at the files
	checked     time.Time
	force       atomic.Bool
	pair        *unit // nil without CertFile
	authorities *unit // nil without CAFile

	handshakesFailed atomic.Uint64
	descs            descriptions
}

var _ prometheus.Collector = (*Files)(nil)

// unit is what is read and replaced together.
type unit struct {
	kind  string // certificate or authorities, in logs and metrics
	paths []string
	flags []string
	parse func(contents [][]byte) (*material, error)

	// Guarded by Files.mu.
	infos   []os.FileInfo
	read    time.Time
	sum     [sha256.Size]byte
	failing bool
	tried   [sha256.Size]byte // sum of what was read last, zero: not even that
	refusal refusal           // the last that was counted, while failing
	expired bool              // said in the log
	exposed bool              // said in the log

	now              atomic.Pointer[material]
	reloads, refused atomic.Uint64
}

// refusal is what could not be used, and why.
type refusal struct {
	sum  [sha256.Size]byte
	text string
}

// Open reads the files for the first time. The error names every file that cannot
// be used, the setting it comes from, and what is wrong with it. A certificate that
// has expired, or is not valid yet, is no error but a line in the log: the clock
// may be wrong at boot, and the file is read again when it is renewed.
func Open(o Options) (*Files, error) {
	o.CAFlag = cmp.Or(o.CAFlag, "-tls-ca")
	o.CertFlag, o.KeyFlag = cmp.Or(o.CertFlag, "-tls-cert"), cmp.Or(o.KeyFlag, "-tls-key")
	o.CheckInterval = cmp.Or(o.CheckInterval, defaultCheckInterval)
	o.MetricsPrefix = cmp.Or(o.MetricsPrefix, "strobe")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Files{options: o, descs: describe(o.MetricsPrefix)}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, fmt.Errorf("%s and %s go together: only one is given", o.CertFlag, o.KeyFlag)
	}
	if o.CertFile != "" {
		f.pair = &unit{
			kind: "certificate", paths: []string{o.CertFile, o.KeyFile}, flags: []string{o.CertFlag, o.KeyFlag},
			parse: func(contents [][]byte) (*material, error) { return parsePair(contents[0], contents[1]) },
		}
	}
	if o.CAFile != "" {
		f.authorities = &unit{
			kind: "authorities", paths: []string{o.CAFile}, flags: []string{o.CAFlag},
			parse: func(contents [][]byte) (*material, error) { return parseAuthorities(contents[0]) },
		}
	}
	var errs []error
	f.checked = o.Now()
	for _, u := range f.units() {
		_, err := u.load(f.checked)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, u := range f.units() {
		f.remark(u)
	}
	return f, nil
}

func (f *Files) units() (all []*unit) {
	if f.pair != nil {
		all = append(all, f.pair)
	}
	if f.authorities != nil {
		all = append(all, f.authorities)
	}
	return all
}

// Check looks at the files now if it is time to. Handshakes and the collection of
// metrics do it by themselves.
func (f *Files) Check() {
	// Whoever comes while another one looks takes what is there: no handshake waits
	// for the disk twice.
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	now := f.options.Now()
	// A clock that was set back must not stop the checks.
	if age := now.Sub(f.checked); age >= 0 && age < f.options.CheckInterval && !f.force.Load() {
		return
	}
	f.force.Store(false)
	f.checked = now
	for _, u := range f.units() {
		f.check(u, now)
	}
}

// check reads one unit again if it has changed. The lock is held.
func (f *Files) check(u *unit, now time.Time) {
	changed, err := u.load(now)
	log := f.options.Logger
	if err != nil {
		// The same broken files are looked at again and again.
		if now := (refusal{u.tried, err.Error()}); !u.failing || now != u.refusal {
			u.refused.Add(1)
			u.refusal = now
		}
		if !u.failing {
			log.Warn("TLS files cannot be used, keeping what was read before", "kind", u.kind, "err", err,
				"in_force_until", u.now.Load().notAfter.UTC())
		}
		u.failing = true
		return
	}
	if changed {
		u.reloads.Add(1)
		m := u.now.Load()
		u.expired, u.exposed = false, false
		log.Info("TLS files read again", "kind", u.kind, "files", u.paths, "subject", m.subject, "expires", m.notAfter.UTC())
	} else if u.failing {
		log.Info("TLS files can be used again", "kind", u.kind, "files", u.paths)
	}
	u.failing = false
	f.remark(u)
}

// remark logs, once, what is odd about files that are in use.
func (f *Files) remark(u *unit) {
	m, now, log := u.now.Load(), f.options.Now(), f.options.Logger
	if bad := validity(u.kind, m, now); bad != nil && !u.expired {
		u.expired = true
		log.Error("TLS files are of no use to anybody now", "kind", u.kind, "files", u.paths, "err", bad)
	}
	if u.exposed {
		return
	}
	u.exposed = true
	if m.skipped > 0 {
		log.Warn("skipping certificates that cannot be understood", "file", u.paths[0], "certificates", m.skipped)
	}
	if mode := u.infos[len(u.infos)-1].Mode(); m.pair != nil && runtime.GOOS != "windows" && mode.Perm()&0o044 != 0 {
		log.Warn("others than the owner may read the key", "file", u.paths[len(u.paths)-1], "mode", mode.Perm().String(),
			"advice", "chmod 0600, or 0640 with a group of its own")
	}
}

// validity says why a certificate is of no use at a time.
func validity(kind string, m *material, now time.Time) error {
	const form = "2006-01-02 15:04:05 MST"
	switch {
	case now.After(m.notAfter) && kind == "authorities":
		return fmt.Errorf("the last of the authorities (%s) expired on %s", m.subject, m.notAfter.UTC().Format(form))
	case now.After(m.notAfter):
		return fmt.Errorf("the certificate (%s) expired on %s: renew it", m.subject, m.notAfter.UTC().Format(form))
	case now.Before(m.notBefore):
		return fmt.Errorf("the certificate (%s) is not valid before %s: is the clock right?", m.subject, m.notBefore.UTC().Format(form))
	}
	return nil
}

// load reads the files if they have changed and reports whether what they hold
// did. Without changes, and with an error, nothing is replaced.
func (u *unit) load(now time.Time) (changed bool, err error) {
	u.tried = [sha256.Size]byte{}
	infos := make([]os.FileInfo, len(u.paths))
	for i, path := range u.paths {
		if infos[i], err = stat(path, u.flags[i]); err != nil {
			return false, err
		}
	}
	before := u.now.Load()
	if before != nil && !u.failing && u.same(infos) {
		return false, nil
	}
	contents := make([][]byte, len(u.paths))
	digest := sha256.New()
	for i, path := range u.paths {
		if i > 0 && path == u.paths[0] {
			contents[i] = contents[0] // one file for both, never of two generations
		} else if contents[i], err = read(path, u.flags[i]); err != nil {
			return false, err
		}
		part := sha256.Sum256(contents[i])
		digest.Write(part[:])
	}
	sum := [sha256.Size]byte(digest.Sum(nil))
	u.tried = sum
	if before == nil || sum != u.sum {
		m, err := u.parse(contents)
		if err != nil {
			at := 0
			if about := (*fileError)(nil); errors.As(err, &about) && about.key {
				at = 1
			}
			return false, fmt.Errorf("%s: %s: %w", u.flags[at], u.paths[at], err)
		}
		if before != nil {
			if bad := validity(u.kind, m, now); bad != nil && validity(u.kind, before, now) == nil {
				return false, fmt.Errorf("%s: %s: %w", u.flags[0], u.paths[0], bad)
			}
		}
		u.now.Store(m)
		changed = true
	}
	u.infos, u.read, u.sum = infos, now, sum
	return changed, nil
}

// same reports whether the files are those that were read.
func (u *unit) same(infos []os.FileInfo) bool {
	for i, a := range infos {
		b := u.infos[i]
		if !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || a.Mode() != b.Mode() {
			return false
		}
		// Written just before it was read: it may have been written again since, at the
		// same time by the file system's clock.
		if u.read.Sub(b.ModTime()) < settled {
			return false
		}
	}
	return true
}

// stat looks at a file and refuses what nobody should use.
func stat(path, flag string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", flag, path, reason(err))
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %s is not a file", flag, path)
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("%s: %s has %d bytes, at most %d are read", flag, path, info.Size(), maxFileBytes)
	case info.Mode().Perm()&0o002 != 0 && runtime.GOOS != "windows":
		return nil, fmt.Errorf("%s: %s can be written by every user of this machine, so it proves nothing: chmod o-w", flag, path)
	}
	return info, nil
}

// read returns what a file holds.
func read(path, flag string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // named by the operator
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", flag, path, reason(err))
	}
	defer func() { _ = file.Close() }()
	var b bytes.Buffer
	if n, err := b.ReadFrom(io.LimitReader(file, maxFileBytes+1)); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", flag, path, reason(err))
	} else if n > maxFileBytes {
		return nil, fmt.Errorf("%s: %s has more than %d bytes", flag, path, maxFileBytes)
	}
	return b.Bytes(), nil
}

// reason is an error without the path, which stands before it already.
func reason(err error) error {
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		return at.Err
	}
	return err
}

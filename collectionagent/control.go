// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

// controlSocket is the socket in the data directory through which the commands
// backup, verify and inspect talk to a running server. It serves the user that the server
// runs as, and root.
const controlSocket = "control.sock"

// errorTrailer carries what went wrong in the middle of an answer.
const errorTrailer = "Strobe-Error"

// inDir calls f with a path of a socket in a directory that is short enough for
// the kernel, which takes about a hundred characters.
func inDir(dir string, f func(path string) error) error {
	d, err := os.Open(dir) //nolint:gosec // the data directory
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // was only a way to its content
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), controlSocket))
}

// serveControl serves the socket until the function returned is called, which waits
// for requests to end: they need the store.
func serveControl(ctx context.Context, c *Config, db engine, logger *slog.Logger) (closeControl func(), err error) {
	s, ok := db.(*embedded.Store)
	if !ok {
		return func() {}, nil // others have tools of their own
	}
	if err := os.Remove(filepath.Join(c.DataDir, controlSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old control socket: %w", err) // the lock says that no other server has it
	}
	var l *net.UnixListener
	err = inDir(c.DataDir, func(path string) error {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // the path holds only until the directory is closed
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("listen on control socket in -data-dir: %w", err)
	}
	h := &control{store: s, config: c, logger: logger}
	server := &http.Server{
		Handler: h.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(peers{l, logger}); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("control socket", "err", err)
		}
	}()
	return func() {
		_ = server.Close() // ends the contexts of the requests
		<-done
		h.requests.Wait()
		_ = os.Remove(filepath.Join(c.DataDir, controlSocket))
	}, nil
}

// peers are the connections of the user of this process and of root.
type peers struct {
	*net.UnixListener
	logger *slog.Logger
}

// Accept implements [net.Listener].
func (p peers) Accept() (net.Conn, error) {
	for {
		conn, err := p.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peer(conn)
		if err == nil && (uid == 0 || uid == uint32(os.Geteuid())) { //nolint:gosec // a user's number
			return conn, nil
		}
		p.logger.Warn("refused a connection to the control socket", "uid", uid, "err", err)
		_ = conn.Close()
	}
}

// peer returns the user on the other end.
func peer(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) //nolint:gosec // a descriptor
	})
	if err = errors.Join(err, controlErr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// control answers the commands.
type control struct {
	store    *embedded.Store
	config   *Config
	logger   *slog.Logger
	requests sync.WaitGroup
}

func (h *control) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, f := range map[string]http.HandlerFunc{
		"GET /backup": h.backup, "GET /verify": h.verify, "GET /inspect": h.inspect,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			h.requests.Add(1)
			defer h.requests.Done()
			f(w, r)
		})
	}
	return mux
}

// backup sends a backup as a tar archive.
func (h *control) backup(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	snapshot, err := h.store.Snapshot(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	extra, err := extraFiles(h.config)
	if err == nil {
		err = snapshot.WriteBackup(r.Context(), w, extra)
	}
	if err = errors.Join(err, snapshot.Release()); err != nil {
		h.logger.Error("backup", "err", err)
		w.Header().Set(http.TrailerPrefix+errorTrailer, strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	h.logger.Info("made a backup", "took", time.Since(started))
}

// verifyLine is a line of the answer to verify.
type verifyLine struct {
	Finding  *embedded.Finding  `json:"finding,omitempty"`
	Verified *embedded.Verified `json:"verified,omitempty"`
	Error    string             `json:"error,omitempty"`
}

func (h *control) verify(w http.ResponseWriter, r *http.Request) {
	e := json.NewEncoder(w)
	v, err := h.store.Verify(r.Context(), func(f *embedded.Finding) { _ = e.Encode(verifyLine{Finding: f}) }) // the client sees it
	last := verifyLine{Verified: v}
	if err != nil {
		last = verifyLine{Error: err.Error()}
	}
	_ = e.Encode(last) // the client sees it
}

func (h *control) inspect(w http.ResponseWriter, r *http.Request) {
	i, err := h.store.Inspect(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(i) // the client sees it
}

// extraFiles reads what else belongs to a server: projects and tokens, and the
// certificates that it made, which agents trust.
func extraFiles(c *Config) ([]embedded.Extra, error) {
	paths, err := filepath.Glob(filepath.Join(c.DataDir, "tls", "*"))
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	if c.AuthFile == "" {
		paths = append(paths, c.authFile())
	}
	var extra []embedded.Extra
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !info.Mode().IsRegular()) {
			continue
		}
		content, readErr := os.ReadFile(path) //nolint:gosec // in the data directory, or named by the operator
		if err = errors.Join(err, readErr); err != nil {
			return nil, fmt.Errorf("back up %s: %w", path, err)
		}
		name, err := filepath.Rel(c.DataDir, path)
		if err != nil {
			return nil, fmt.Errorf("back up %s: %w", path, err)
		}
		extra = append(extra, embedded.Extra{Path: filepath.ToSlash(name), Content: content, Mode: int64(info.Mode().Perm())})
	}
	return extra, nil
}

// errNoServer is returned when no server answers in a data directory.
var errNoServer = errors.New("no server answers in the data directory")

// askServer sends a request to the server that runs in a data directory.
func askServer(ctx context.Context, c *Config, what string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = inDir(c.DataDir, func(path string) error {
			conn, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
			err = errNoServer
		}
		return conn, err
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/"+what, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the server in %s: %w", c.DataDir, err)
	}
	if answer.StatusCode != http.StatusOK {
		text := make([]byte, 4096)
		n, _ := answer.Body.Read(text) // what there is
		_ = answer.Body.Close()
		return nil, fmt.Errorf("the server in %s: %s", c.DataDir, strings.TrimSpace(string(text[:n])))
	}
	return answer, nil
}

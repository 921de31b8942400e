// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support/skip"
)

const (
	startTimeout = 3 * time.Minute
	// dockerd gives containers 10 s to end, as docker stop does.
	stopTimeout = 45 * time.Second
)

// Daemon is a running engine. It is safe for concurrent use.
type Daemon struct {
	// Dir is the folder of the engine's own files. It is removed with the engine.
	Dir string
	// Socket is the path of the socket of the engine's API.
	Socket string
	// Storage is the storage driver that the engine uses.
	Storage string

	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	once   sync.Once
}

// Start starts an engine that ends with the test, together with all of its containers. It skips the
// test where that cannot be done: without root, or where dockerd, docker or nsenter is missing. An
// engine that is there and does not start is an error.
func Start(t testing.TB) *Daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it starts dockerd")
	}
	for _, program := range []string{"dockerd", "docker", "nsenter", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			skip.Because(t, "needs "+program+" in PATH: Debian's docker.io, iptables and util-linux have them")
		}
	}
	// With the driver that dockerd takes by itself, or else with the one that works on every file
	// system, as a test may itself run in a container.
	var errs []error
	for _, driver := range []string{"", "vfs"} {
		d, err := start(driver)
		if err == nil {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the end of dockerd's log:\n%s", d.tail())
				}
				if err := d.stop(); err != nil {
					t.Error(err)
				}
			})
			return d
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return nil
}

func start(driver string) (_ *Daemon, err error) {
	// Not t.TempDir, whose long names do not fit into the address of a socket.
	dir, err := os.MkdirTemp("", "dockertest")
	if err != nil {
		return nil, fmt.Errorf("make a folder for dockerd: %w", err)
	}
	d := &Daemon{
		Dir: dir, Socket: filepath.Join(dir, "docker.sock"), Storage: driver,
		log: filepath.Join(dir, "log"), exited: make(chan struct{}),
	}
	arguments := []string{
		"--config-file", filepath.Join(dir, "daemon.json"), // not the host's
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--host", "unix://" + d.Socket,
	}
	if driver != "" {
		arguments = append(arguments, "--storage-driver", driver)
	}
	if err := os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("configure dockerd: %w", err), os.RemoveAll(dir))
	}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make dockerd's log: %w", err), os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	d.cmd = exec.Command("dockerd", arguments...) //nolint:gosec // with files of its own
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Setpgid:      true,            // an interrupt of the test is for the test, which stops the engine
		Pdeathsig:    syscall.SIGTERM, // a test that is killed leaves no engine behind
	}
	started := make(chan error, 1)
	go func() {
		// The signal comes when the thread ends that started the process, not when the program does.
		runtime.LockOSThread()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait()
			close(d.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start dockerd: %w", err), os.RemoveAll(dir))
	}
	if err := d.ready(); err != nil {
		return nil, errors.Join(fmt.Errorf("start dockerd %s: %w\n%s", driver, err, d.tail()), d.stop())
	}
	return d, nil
}

// ready waits for the engine's answer.
func (d *Daemon) ready() error {
	if err := d.within(loopbackUp); err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		cmd := exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}} {{.Driver}}")
		cmd.Env = d.Env()
		// Where there is no server, docker may still exit with 0.
		if out, err := cmd.Output(); err == nil {
			if f := strings.Fields(string(out)); len(f) == 2 {
				d.Storage = f[1]
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-d.exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v", startTimeout)
		}
	}
}

// stop ends the engine, its containers and its containerd, and removes their files.
func (d *Daemon) stop() (err error) {
	d.once.Do(func() {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.exited:
		case <-time.After(stopTimeout):
			err = fmt.Errorf("dockerd did not end within %v, and was killed\n%s", stopTimeout, d.tail())
			_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
			<-d.exited
		}
		err = errors.Join(err, os.RemoveAll(d.Dir))
	})
	return err
}

// tail returns the end of the engine's log.
func (d *Daemon) tail() string {
	b, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// Env returns the environment of this process with the variables that lead docker and
// docker-compose to the engine.
func (d *Daemon) Env() []string {
	return append(os.Environ(), "DOCKER_HOST=unix://"+d.Socket, "DOCKER_CONTEXT=")
}

// Command returns a program that has [Daemon.Env] and runs in the engine's network.
func (d *Daemon) Command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	arguments = append([]string{"--net=" + d.netns(), "--", program}, arguments...)
	cmd := exec.CommandContext(ctx, "nsenter", arguments...) //nolint:gosec // what the test asks for
	cmd.Env = d.Env()
	return cmd
}

// Run runs a program as [Daemon.Command] has it and returns what it wrote. If it fails, the test
// ends with both of its outputs.
func (d *Daemon) Run(t testing.TB, program string, arguments ...string) string {
	t.Helper()
	cmd := d.Command(t.Context(), program, arguments...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(arguments, " "), err, out, stderr.String())
	}
	return string(out)
}

// DialContext connects to an address in the engine's network. The address must be an IP address
// with a port, or the path of a socket.
func (d *Daemon) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if network != "unix" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		if net.ParseIP(host) == nil {
			return nil, fmt.Errorf("dial %s: want an IP address, as other threads would look up the name", address)
		}
	}
	err = d.within(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Client returns a client of HTTP in the engine's network. See [Daemon.DialContext] for what
// addresses may be.
func (d *Daemon) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

func (d *Daemon) netns() string {
	return "/proc/" + strconv.Itoa(d.cmd.Process.Pid) + "/ns/net"
}

// within runs f on a thread in the engine's network. Sockets stay where they were made.
func (d *Daemon) within(f func() error) error {
	ns, err := os.Open(d.netns())
	if err != nil {
		return fmt.Errorf("open the engine's network: %w", err)
	}
	defer ns.Close() //nolint:errcheck // only read
	result := make(chan error, 1)
	go func() {
		// Not unlocked, so that the thread ends with the goroutine and nothing else runs there.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter the engine's network: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}

// loopbackUp brings up the loopback interface of the thread's network.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("ask for lo: %w", err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}

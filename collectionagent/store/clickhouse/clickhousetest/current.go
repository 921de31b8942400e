// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// Variables that tell the child what to do.
const (
	envLibrary = "CLICKHOUSETEST_LIBRARY" // path of libchdb
	envAddress = "CLICKHOUSETEST_ADDRESS" // where to listen
	envData    = "CLICKHOUSETEST_DATA"    // directory
	envConfig  = "CLICKHOUSETEST_CONFIG"  // file with the engine's configuration, "": none
	envUser    = "CLICKHOUSETEST_USER"    // name, colon and password that a client has to give, "": any
)

// User is the one user of a server.
type User struct {
	Name, Password string
	// Grants are statements of SQL, without the user. Nothing else is allowed.
	Grants []string
}

// frontGrants are what the front needs itself, for inserts.
var frontGrants = []string{"GRANT CREATE TEMPORARY TABLE ON *.*", "GRANT READ ON FILE"}

// write writes a configuration with the user and returns the path of it. The engine
// is always used by the user "default", who has the grants here.
func (u *User) write(t testing.TB, dir string) string {
	t.Helper()
	var grants strings.Builder
	for _, g := range append(frontGrants, u.Grants...) {
		grants.WriteString("<query>" + g + "</query>")
	}
	users, config := filepath.Join(dir, "users.xml"), filepath.Join(dir, "config.xml")
	for path, text := range map[string]string{
		users: "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>" +
			"<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota><grants>" + grants.String() + "</grants></default></users></clickhouse>",
		config: "<clickhouse><users_config>" + users + "</users_config></clickhouse>",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatalf("write the configuration of a server: %v", err)
		}
	}
	return config
}

// NewCurrent returns a server of the current version that is not started yet. It is
// the test binary, started again as a child: see [ServeCurrent]. Without a user
// everybody may do everything.
func NewCurrent(t testing.TB, user *User) *Server {
	t.Helper()
	path := tracertest.Fetched(t, "chdb", "node_modules", "@chdb", "lib-linux-x64-gnu", "libchdb.so")
	dir := t.TempDir()
	s := &Server{Addr: program.FreeAddress(t), t: t, name: "the current engine", user: user, log: filepath.Join(dir, "output.log")}
	config, who := "", ""
	if user != nil {
		config, who = user.write(t, dir), user.Name+":"+user.Password
	}
	s.command = func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this program
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TZ=UTC", envLibrary+"="+path, envAddress+"="+s.Addr, envData+"="+dir, envConfig+"="+config, envUser+"="+who)
		return cmd
	}
	showLogs(t, s.log)
	t.Cleanup(s.Kill)
	return s
}

// StartCurrent starts a server of the current version.
func StartCurrent(t testing.TB) *Server {
	t.Helper()
	s := NewCurrent(t, nil)
	s.Start()
	return s
}

// ServeCurrent does the child's work when the process is the child of [NewCurrent],
// and does not return then; else it returns at once.
func ServeCurrent() {
	path := os.Getenv(envLibrary)
	if path == "" {
		return
	}
	fmt.Fprintln(os.Stderr, serveCurrent(path, os.Getenv(envAddress), os.Getenv(envData)))
	os.Exit(1)
}

func serveCurrent(path, address, dir string) error {
	engine, err := openLibrary(path, filepath.Join(dir, "data"), os.Getenv(envConfig))
	if err != nil {
		return err
	}
	spool := filepath.Join(dir, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return (&front{engine: engine, spool: spool, user: os.Getenv(envUser)}).serve(l)
}

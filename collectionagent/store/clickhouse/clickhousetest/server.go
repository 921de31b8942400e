// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"text/template"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// Server is a server on loopback. Its methods are for one caller at a time.
type Server struct {
	// Addr is where it speaks the native protocol. It stays over restarts.
	Addr string

	t       testing.TB
	name    string
	user    *User // nil: default, without a password
	command func() *exec.Cmd
	log     string
	process *process
	// ready, where there is one, is asked as well before the server counts as up.
	ready   func() error
	logSize func() int64
	logged  int64 // size of its log when it was started
}

// DSN returns the address of a database of the server.
func (s *Server) DSN(database string) string {
	user := url.User("default")
	if s.user != nil {
		user = url.UserPassword(s.user.Name, s.user.Password)
	}
	return (&url.URL{Scheme: "clickhouse", User: user, Host: s.Addr, Path: database, RawQuery: "dial_timeout=2s"}).String()
}

// Kill ends the server with SIGKILL and waits for its end.
func (s *Server) Kill() {
	s.t.Helper()
	if s.process != nil {
		s.process.kill()
	}
}

// Start starts the server, on the data that it has, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.StartOnly()
	s.Await()
}

// StartOnly starts the server and returns at once.
func (s *Server) StartOnly() {
	s.t.Helper()
	if s.logSize != nil {
		s.logged = s.logSize()
	}
	s.process = start(s.t, s.log, s.command())
}

// Await waits until the server answers.
func (s *Server) Await() {
	s.t.Helper()
	s.process.await(s.t, s.name, s.log, func() error {
		if err := s.ask(); err != nil || s.ready == nil {
			return err
		}
		return s.ready()
	})
}

// Query runs a statement and returns the first column of its answer, as text.
func (s *Server) Query(query string) []string {
	s.t.Helper()
	conn, err := driver.Open(s.options())
	if err != nil {
		s.t.Fatalf("connect to %s: %v", s.name, err)
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rows, err := conn.Query(ctx, query)
	if err != nil {
		s.t.Fatalf("%s: %s: %v", s.name, query, err)
	}
	defer rows.Close() //nolint:errcheck // the error is that of Err
	var all []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			s.t.Fatalf("%s: %s: %v", s.name, query, err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatalf("%s: %s: %v", s.name, query, err)
	}
	return all
}

// options says how to connect.
func (s *Server) options() *driver.Options {
	o := &driver.Options{Addr: []string{s.Addr}, DialTimeout: 2 * time.Second, MaxOpenConns: 1}
	if s.user != nil {
		o.Auth = driver.Auth{Username: s.user.Name, Password: s.user.Password}
	}
	return o
}

// ask reports whether the server answers.
func (s *Server) ask() error {
	conn, err := driver.Open(s.options())
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return conn.Exec(ctx, "SELECT 1")
}

// legacyConfig is the configuration of a server of the kind of [StartLegacy].
type legacyConfig struct {
	Dir, Log, Level          string
	HTTP, TCP, Inter, Keeper string // ports
	Secure                   string // port for TLS, "": none
	Certificate, Key         string // files, with Secure
	Shard, Replica           string
	Replicas                 []string // ports, of the cluster
}

const configText = `<?xml version="1.0"?>
<yandex>
 <logger><level>{{.Level}}</level><log>{{.Log}}</log><errorlog>{{.Dir}}/error.log</errorlog><size>20M</size><count>1</count></logger>
 <http_port>{{.HTTP}}</http_port><tcp_port>{{.TCP}}</tcp_port><interserver_http_port>{{.Inter}}</interserver_http_port>
 <interserver_http_host>127.0.0.1</interserver_http_host><listen_host>127.0.0.1</listen_host>
{{- if .Secure}}
 <tcp_port_secure>{{.Secure}}</tcp_port_secure>
 <openSSL><server><certificateFile>{{.Certificate}}</certificateFile><privateKeyFile>{{.Key}}</privateKeyFile><verificationMode>none</verificationMode>
  <loadDefaultCAFile>false</loadDefaultCAFile><cacheSessions>false</cacheSessions><disableProtocols>sslv2,sslv3</disableProtocols></server></openSSL>
{{- end}}
 <max_connections>256</max_connections><max_concurrent_queries>200</max_concurrent_queries>
 <uncompressed_cache_size>8388608</uncompressed_cache_size><mark_cache_size>67108864</mark_cache_size>
 <path>{{.Dir}}/data/</path><tmp_path>{{.Dir}}/tmp/</tmp_path><user_files_path>{{.Dir}}/files/</user_files_path>
 <format_schema_path>{{.Dir}}/schemas/</format_schema_path>
 <users_config>users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database>
 <mlock_executable>false</mlock_executable><timezone>UTC</timezone>
 <!-- Each part is some 50 files, which somebody has to remove. -->
 <merge_tree><old_parts_lifetime>1</old_parts_lifetime></merge_tree>
{{- if .Keeper}}
 <zookeeper><node><host>127.0.0.1</host><port>{{.Keeper}}</port></node><session_timeout_ms>4000</session_timeout_ms></zookeeper>
 <macros><shard>{{.Shard}}</shard><replica>{{.Replica}}</replica></macros>
 <remote_servers><` + Cluster + `><shard><internal_replication>true</internal_replication>
{{- range .Replicas}}<replica><host>127.0.0.1</host><port>{{.}}</port></replica>{{end -}}
 </shard></` + Cluster + `></remote_servers>
 <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
{{- end}}
</yandex>
`

const usersText = `<?xml version="1.0"?>
<yandex>
 <profiles><default><max_memory_usage>2000000000</max_memory_usage><max_threads>2</max_threads></default></profiles>
 <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
 <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</errors><result_rows>0</result_rows>
  <read_rows>0</read_rows><execution_time>0</execution_time></interval></default></quotas>
</yandex>
`

var configTemplate = template.Must(template.New("config.xml").Parse(configText))

// write writes the configuration and returns the path of it.
func (c *legacyConfig) write(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	if err := configTemplate.Execute(&b, c); err != nil {
		t.Fatalf("write the configuration of a server: %v", err)
	}
	path := filepath.Join(c.Dir, "config.xml")
	for name, content := range map[string]string{path: b.String(), filepath.Join(c.Dir, "users.xml"): usersText} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatalf("write the configuration of a server: %v", err)
		}
	}
	return path
}

// removeFetched removes what a server that was killed had of parts of other replicas.
// Later versions do that when they start; this one takes the directory for somebody
// else's for a day, does not get the part, and so never has a quorum again.
func (c *legacyConfig) removeFetched(t testing.TB) {
	t.Helper()
	half, err := filepath.Glob(filepath.Join(c.Dir, "data", "data", "*", "*", "tmp_fetch_*"))
	if err != nil {
		t.Fatalf("look for parts that were not fetched whole: %v", err)
	}
	for _, dir := range half {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatalf("remove a part that was not fetched whole: %v", err)
		}
	}
}

// legacyProgram returns where the server of Debian is.
func legacyProgram(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("clickhouse-server")
	if err != nil {
		skip.Because(t, "clickhouse-server is not installed: see support/test-deps.sh")
	}
	return path
}

// newLegacy returns a server that is not started yet.
func newLegacy(t testing.TB, name string, c *legacyConfig) *Server {
	t.Helper()
	program := legacyProgram(t)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		t.Fatalf("make the directory of a server: %v", err)
	}
	c.Log, c.Level = filepath.Join(c.Dir, "server.log"), "warning"
	errorLog := filepath.Join(c.Dir, "error.log")
	s := &Server{Addr: "127.0.0.1:" + c.TCP, t: t, name: name, log: filepath.Join(c.Dir, "output.log")}
	if c.Keeper != "" {
		// A statement for the cluster crashes a server whose worker for them has not
		// begun, which can only be seen in its log.
		c.Level = "debug"
		s.ready = func() error {
			b, err := os.ReadFile(c.Log)
			if err == nil && !bytes.Contains(b[min(s.logged, int64(len(b))):], []byte("DDLWorker: Waiting a watch")) {
				err = errors.New("it does not take statements for the cluster yet")
			}
			return err
		}
		s.logSize = func() int64 {
			if info, err := os.Stat(c.Log); err == nil {
				return info.Size()
			}
			return 0
		}
	}
	path := c.write(t)
	s.command = func() *exec.Cmd {
		c.removeFetched(t)
		cmd := exec.Command(program, "--config-file="+path) //nolint:gosec // ours
		cmd.Dir = c.Dir
		return cmd
	}
	showLogs(t, s.log, errorLog)
	t.Cleanup(s.Kill)
	return s
}

// NewLegacy returns a server of Debian's version that is not started yet.
func NewLegacy(t testing.TB) *Server {
	t.Helper()
	return newLegacy(t, "the server", &legacyConfig{
		Dir: t.TempDir(), HTTP: portOf(program.FreeAddress(t)), TCP: portOf(program.FreeAddress(t)), Inter: portOf(program.FreeAddress(t)),
	})
}

// StartLegacy starts a server of Debian's version.
func StartLegacy(t testing.TB) *Server {
	t.Helper()
	s := NewLegacy(t)
	s.Start()
	return s
}

// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// Cluster is the name of the cluster of [StartReplicas].
const Cluster = "strobe_test"

// Replicas are two servers of Debian's version that hold the same, one shard, and
// the ZooKeeper that they agree through.
type Replicas struct {
	Servers [2]*Server
}

// jars are what ZooKeeper needs: the manifest of the first names all others but the
// logger.
var jars = []string{"/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-nop.jar"}

// StartReplicas starts them.
func StartReplicas(t testing.TB) *Replicas {
	t.Helper()
	legacyProgram(t)
	keeper := startKeeper(t)
	var configs [2]*legacyConfig
	var ports []string
	for i := range configs {
		configs[i] = &legacyConfig{
			Dir: filepath.Join(t.TempDir(), fmt.Sprintf("replica%d", i+1)), HTTP: portOf(program.FreeAddress(t)), TCP: portOf(program.FreeAddress(t)),
			Inter: portOf(program.FreeAddress(t)), Keeper: portOf(keeper), Shard: "1", Replica: fmt.Sprintf("r%d", i+1),
		}
		ports = append(ports, configs[i].TCP)
	}
	r := &Replicas{}
	for i, c := range configs {
		c.Replicas = ports
		r.Servers[i] = newLegacy(t, "replica "+c.Replica, c)
		r.Servers[i].StartOnly()
	}
	for _, s := range r.Servers {
		s.Await()
	}
	return r
}

// DSN returns the address of a database. The servers are tried in the order of
// their numbers, from 0.
func (r *Replicas) DSN(database string, order ...int) string {
	var addresses []string
	for _, i := range order {
		addresses = append(addresses, r.Servers[i].Addr)
	}
	return "clickhouse://default@" + strings.Join(addresses, ",") + "/" + database + "?dial_timeout=2s&connection_open_strategy=in_order"
}

// startKeeper starts ZooKeeper and returns where it listens.
func startKeeper(t testing.TB) string {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		skip.Because(t, "java is not installed: see support/test-deps.sh")
	}
	for _, jar := range jars {
		if _, err := os.Stat(jar); err != nil {
			skip.Because(t, "zookeeper is not installed: see support/test-deps.sh")
		}
	}
	dir, address := t.TempDir(), program.FreeAddress(t)
	config := filepath.Join(dir, "zoo.cfg")
	// Sessions end 4 s after the last sign of life of a server. What is kept need not
	// survive a power failure.
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"+
		"maxClientCnxns=0\n4lw.commands.whitelist=srvr\n", filepath.Join(dir, "data"), portOf(address))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatalf("write the configuration of zookeeper: %v", err)
	}
	log := filepath.Join(dir, "zookeeper.log")
	showLogs(t, log)
	//nolint:gosec // ours
	p := start(t, log, exec.Command(java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no",
		"-cp", strings.Join(jars, ":"), "org.apache.zookeeper.server.ZooKeeperServerMain", config))
	t.Cleanup(p.kill)
	p.await(t, "zookeeper", log, func() error {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // the answer is there
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := conn.Write([]byte("srvr")); err != nil {
			return err
		}
		answer, err := io.ReadAll(conn)
		if !strings.Contains(string(answer), "Mode: ") { // it says more before it serves
			return errors.Join(fmt.Errorf("zookeeper says %q", answer), err)
		}
		return nil
	})
	return address
}

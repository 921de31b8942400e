// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	testprogram "github.com/strobe-profiler/strobe/support/program"
)

func TestValidateStore(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // "" is valid
	}{
		{"default", nil, ""},
		{"embedded", []string{"-store", "embedded"}, ""},
		{"unknown", []string{"-store", "sqlite"}, `-store: is "sqlite"`},
		{"dsn without store", []string{"-clickhouse-dsn", "clickhouse://ch:9000"}, "did you mean -store clickhouse?"},
		{"no dsn", []string{"-store", "clickhouse"}, "-clickhouse-dsn: is missing"},
		{"dsn", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://strobe@ch:9440/strobe?secure=true"}, ""},
		{"two servers", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://a:9000,b:9000/strobe"}, ""},
		{"password", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://u:hunter2@ch:9000/strobe"}, "holds a password"},
		{"password as parameter", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://ch:9000/?password=hunter2"}, "holds a password"},
		{"broken with password", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://u:hunter2%zz@ch:9000"}, "not a valid URL"},
		{"http", []string{"-store", "clickhouse", "-clickhouse-dsn", "http://ch:8123"}, "native protocol"},
		{"no port", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://ch/strobe"}, "host:port"},
		{"database", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://ch:9000/a%60b"}, "letters, digits"},
		{"secret of object storage", []string{"-object-store", "s3://key:hunter2@bucket/prefix"}, "holds credentials"},
		{"both", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://ch:9000", "-clickhouse-dsn-file", "f"}, "both give an address"},
		{"quorum", []string{"-store", "clickhouse", "-clickhouse-dsn", "clickhouse://ch:9000", "-clickhouse-quorum", "-1"}, "-clickhouse-quorum: is negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config, _, err := load(c.args, nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			err = config.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("error repeats the password: %v", err)
			}
			var printed bytes.Buffer
			if err := printConfig(&printed, config); err != nil || strings.Contains(printed.String(), "hunter2") {
				t.Errorf("error %v, printed:\n%s", err, &printed)
			}
		})
	}
}

// TestStoreAway starts with a server that is not there.
func TestStoreAway(t *testing.T) {
	address := testprogram.RefusedAddress(t)
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte("clickhouse://u:hunter2@"+address+"/strobe\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { //nolint:gosec // as it should not be
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := Default()
	c.Store, c.ClickHouse.DSNFile = storeClickHouse, file
	plan, err := c.memoryPlan()
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan string, 10)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		db, err := openStore(ctx, &c, plan, nil, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry(), func(reason string) { waits <- reason })
		if db != nil {
			t.Error("a store without a server")
		}
		done <- err
	}()
	select {
	case reason := <-waits:
		if !strings.Contains(reason, "cannot be reached") {
			t.Errorf("waits for %q", reason)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the start does not say what it waits for")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(log.String(), "every user of this machine may read") || !strings.Contains(log.String(), "waiting for ClickHouse") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("log: %s", log.String())
	}
}

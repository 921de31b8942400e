// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials/insecure"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects/objectstest"
	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/program"
)

// runCommand runs a subcommand and compares its exit status.
func runCommand(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the status says it
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%s: exit status %d, want %d: %s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// TestBackupCommands makes backups of a server that runs, and of one that does not,
// and goes on with what they restore.
func TestBackupCommands(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, strings.Repeat("a-long-name-", 10), "data") // longer than the path of a socket may be
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir)
	push(t, p.agent(insecure.NewCredentials()), 1, 100)
	archive, folder, cold := filepath.Join(base, "b.tar"), filepath.Join(base, "b"), filepath.Join(base, "cold.tar")
	runCommand(t, 0, "backup", archive, "-data-dir", dir)
	runCommand(t, 0, "backup", folder, "-data-dir", dir)
	runCommand(t, 1, "backup", folder, "-data-dir", dir) // is not empty any more
	runCommand(t, 2, "backup")
	nothing := filepath.Join(base, "nothing")
	if _, errs := runCommand(t, 1, "backup", folder+"2", "-data-dir", nothing); strings.Count(errs, "not the data directory of a store") != 1 {
		t.Errorf("backup of nothing: %q", errs)
	}
	clickhouse := filepath.Join(base, "clickhouse.yaml")
	if err := os.WriteFile(clickhouse, []byte("store: clickhouse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"backup", folder + "3"}, {"restore", folder}, {"verify"}, {"inspect"}} {
		if _, errs := runCommand(t, 1, append(command, "-data-dir", nothing, "-config", clickhouse)...); !strings.Contains(errs, "embedded engine") {
			t.Errorf("%s with another engine: %q", command, errs)
		}
	}
	if out, _ := runCommand(t, 0, "verify", "-data-dir", dir); !strings.Contains(out, "1 batches in the log; 0 problems") {
		t.Errorf("verify: %q", out)
	}
	runCommand(t, 0, "verify", "-data-dir", folder)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.wait() // was killed
	runCommand(t, 0, "backup", cold, "-data-dir", dir)
	runCommand(t, 0, "verify", "-data-dir", dir)
	for i, from := range []string{archive, folder, cold} {
		to := filepath.Join(base, "restored", string(rune('a'+i)))
		runCommand(t, 0, "restore", from, "-data-dir", to)
		runCommand(t, 1, "restore", from, "-data-dir", to)
		p := start(t, to)
		p.checkFolded("root_fn;leaf_fn 100\n")
		c := p.agent(insecure.NewCredentials())
		if !push(t, c, 1, 100) || push(t, c, 2, 50) {
			t.Errorf("%s: batches are not told apart", from)
		}
		p.checkFolded("root_fn;leaf_fn 150\n")
		out, _ := runCommand(t, 0, "inspect", "-o", "json", "-data-dir", to)
		var inspection struct {
			Windows     struct{ Samples int }
			Definitions struct{ Stacks int }
		}
		if err := json.Unmarshal([]byte(out), &inspection); err != nil || inspection.Windows.Samples > 1 || inspection.Definitions.Stacks != 1 {
			t.Errorf("inspect: %v, %s", err, out)
		}
	}
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs := runCommand(t, 1, "restore", archive, "-data-dir", filepath.Join(base, "half")); !strings.Contains(errs, "backup") {
		t.Errorf("restore of half a backup: %q", errs)
	}
}

// TestObjectStoreDocument starts a server with S3 as docs/storage.md says.
func TestObjectStoreDocument(t *testing.T) {
	t.Parallel()
	s3 := objectstest.Start(t)
	page := program.FreeAddress(t)
	doc := doctest.Open(t, "docs/storage.md", "Object storage")
	sh := doc.Shell(t, doctest.Options{
		Path: []string{filepath.Dir(binary)},
		Env: []string{
			"STROBE_COLLECTIONAGENT_DATA_DIR=" + filepath.Join(t.TempDir(), "data"),
			"STROBE_COLLECTIONAGENT_HTTP_ADDRESS=" + page, "STROBE_COLLECTIONAGENT_GRPC_ADDRESS=" + program.FreeAddress(t),
		},
		Replace: map[string]string{
			"_ID=KEY": "_ID=" + objectstest.AccessKey, "_KEY=SECRET": "_KEY=" + objectstest.SecretKey,
			"//bucket/": "//" + objectstest.Bucket + "/", "https://s3.example.org": "http://" + s3.Address,
			"region=eu-1": "region=us-east-1&path-style=true", "10GiB": "1MiB",
		},
	})
	sh.RunAll()
	doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	if _, err := os.Stat(filepath.Join(s3.Dir, objectstest.Bucket, "prefix", "OWNER.json")); err != nil {
		t.Errorf("the prefix was not claimed: %v", err)
	}
}

// TestObjectStore runs a server with S3, without a secret in its log.
func TestObjectStore(t *testing.T) {
	t.Parallel()
	s3 := objectstest.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir, "-object-store", s3.URL("strobe"), "-object-credentials", objectstest.Credentials(t), "-object-cache-bytes", "1MiB")
	push(t, p.agent(insecure.NewCredentials()), 1, 100)
	p.checkFolded("root_fn;leaf_fn 100\n")
	if _, metrics := p.get("/metrics"); !strings.Contains(metrics, "strobe_collectionagent_store_object_storage_up 1") {
		t.Error("/metrics does not say that object storage is up")
	}
	if _, err := os.Stat(filepath.Join(s3.Dir, objectstest.Bucket, "strobe", "OWNER.json")); err != nil {
		t.Errorf("the prefix was not claimed: %v", err)
	}
	if strings.Contains(p.log.String(), objectstest.SecretKey) {
		t.Error("the log has the secret")
	}
	_, errs := runCommand(t, 1, "-data-dir", t.TempDir(), "-http-address", "127.0.0.1:0", "-grpc-address", "127.0.0.1:0",
		"-object-store", s3.URL("strobe"), "-object-credentials", objectstest.Credentials(t))
	if !strings.Contains(errs, "belongs to another store") {
		t.Errorf("a second server on the same prefix: %s", errs)
	}
	_, errs = runCommand(t, 1, "-check-config", "-object-store", "s3://key:hunter2@bucket/p")
	if !strings.Contains(errs, "holds credentials") || strings.Contains(errs, "hunter2") {
		t.Errorf("credentials in the URL: %s", errs)
	}
}

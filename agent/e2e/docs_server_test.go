// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// TestServerDocuments tries what the documents on the server say, with a server that
// scrapes itself and is sent the samples of this host.
func TestServerDocuments(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	page, grpc, own, dir := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t), t.TempDir()
	work := doctest.Options{
		Dir: dir, Path: []string{bin},
		Env: []string{
			"STROBE_COLLECTIONAGENT_DATA_DIR=" + dir + "/data", "STROBE_COLLECTIONAGENT_HTTP_ADDRESS=" + page,
			"STROBE_COLLECTIONAGENT_GRPC_ADDRESS=" + grpc, "STROBE_URL=http://" + page,
		},
		Replace: map[string]string{"127.0.0.1:7070": page, `service="cart"`: `service="collectionagent"`},
	}
	write(t, dir+"/scrape.yaml", yamlOf(t, "docs/scrape.md", "Scraping", page))
	scraping := doctest.Open(t, "docs/scrape.md", "Scraping")
	server := scraping.Shell(t, work)
	server.Run(scraping.Block(0))
	doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	server.RunUntil(scraping.Block(1), func(out string) bool { return strings.Contains(out, `"up"`) })
	startService(t, "agent", "-collection-agent", grpc, "-http-address", own)
	burner(t)

	t.Run("strobectl", func(t *testing.T) {
		doc := doctest.Open(t, "docs/strobectl.md", "strobectl, the command line")
		work := work
		work.Replace = map[string]string{
			"service=shop": "service=e2e-burner", "main.work": "'*burnInner'", "'malloc*'": "'*burnInner'",
			"-- make": "-- perl -e '1 for 1 .. 1e7'",
		}
		// Until samples are there.
		doc.Shell(t, work).RunUntil(doc.Block(0), func(out string) bool { return strings.Contains(out, "burnInner") })
	})
	t.Run("push", func(t *testing.T) {
		doc := doctest.Open(t, "docs/push.md", "With curl")
		runAgent(t, "record", "-a", "-d", "1s", "-o", dir+"/cpu.pb.gz")
		write(t, dir+"/mutex.pb.gz", program.Get(t.Context(), "http://"+own+"/debug/pprof/mutex"))
		write(t, dir+"/header", "User-Agent: a test\n") // this server needs no token
		work := work
		work.Replace = map[string]string{"127.0.0.1:7070": page, "perf script | stackcollapse-perf.pl": "echo 'main;work 7'"}
		doc.Shell(t, work).RunAll()
	})
	t.Run("storage", func(t *testing.T) {
		doc := doctest.Open(t, "docs/storage.md", "Backup and restore")
		work := work
		work.Replace = map[string]string{"/backups": dir, "/new/data": dir + "/new"}
		doc.Shell(t, work).RunAll()
	})
	t.Run("security", func(t *testing.T) {
		doc := doctest.Open(t, "docs/security.md", "Projects and tokens")
		work := work
		work.Env = []string{"STROBE_COLLECTIONAGENT_DATA_DIR=" + t.TempDir()}
		work.Replace = nil
		doc.Shell(t, work).RunAll()
	})
	t.Run("prometheus", func(t *testing.T) {
		doc := doctest.Open(t, "docs/prometheus.md", "Metrics of profiles")
		page := program.FreeAddress(t)
		sh := doc.Shell(t, doctest.Options{Path: []string{bin}, Env: []string{
			"STROBE_COLLECTIONAGENT_DATA_DIR=" + t.TempDir(), "STROBE_COLLECTIONAGENT_HTTP_ADDRESS=" + page,
			"STROBE_COLLECTIONAGENT_GRPC_ADDRESS=" + program.FreeAddress(t),
		}})
		sh.RunAll()
		doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	})
}

// yamlOf returns the first block of YAML of a section, for a server at page.
func yamlOf(t *testing.T, file, heading, page string) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(doctest.Root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := doctest.Parse(file, src)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if b.Section == heading && b.Lang == "yaml" {
			return strings.ReplaceAll(b.Text, "127.0.0.1:7070", page)
		}
	}
	t.Fatalf("%s: no YAML below %q", file, heading)
	return ""
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

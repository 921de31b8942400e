// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// TestInstallFromSource does what docs/install.md says, in a fresh clone.
func TestInstallFromSource(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	root := doctest.Root(t)
	if _, err := os.Stat(root + "/.git"); err != nil {
		skip.Because(t, "not a clone: there is nothing to clone from")
	}
	page, own := program.FreeAddress(t), program.FreeAddress(t)
	doc := doctest.Open(t, "docs/install.md", "From source")
	sh := doc.Shell(t, doctest.Options{
		Dir: t.TempDir(),
		Env: []string{
			"STROBE_HTTP=" + page, "STROBE_GRPC=" + program.FreeAddress(t), "STROBE_URL=http://" + page,
			"STROBE_AGENT_HTTP_ADDRESS=" + own,
			// The repository may belong to somebody else than root.
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
		Replace: map[string]string{"https://github.com/strobe-profiler/strobe": root + " strobe"},
	})
	sh.Run(doc.Block(0))
	sh.Run(doc.Block(1))
	doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	doctest.WaitHTTP(t, "http://"+own+"/-/ready")
	sh.Run(doc.Block(2))
	sh.RunUntil(doc.Block(3), nil)
	out := sh.RunUntil(doc.Block(4), nil)
	if !strings.Contains(out, "main::serve") {
		t.Errorf("the caller of the hot function is not there:\n%s", out)
	}
}

// TestConfigureFiles has the programs check the files of docs/configure.md.
func TestConfigureFiles(t *testing.T) {
	t.Parallel()
	doc := doctest.Open(t, "docs/configure.md", "Files")
	doc.Shell(t, doctest.Options{Dir: t.TempDir(), Path: []string{bin}}).RunAll()
}

// TestOperate sets up the fleet of docs/operate.md on this host, and keeps it as it says.
func TestOperate(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	page, grpc, own, dir := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t), t.TempDir()
	fleet := doctest.Open(t, "docs/operate.md", "A fleet")
	sh := fleet.Shell(t, doctest.Options{
		Dir: t.TempDir(), Path: []string{bin},
		Env: []string{"STROBE_AGENT_HTTP_ADDRESS=" + own, "STROBE_AGENT_SPOOL_DIR=" + dir + "/spool"},
		Replace: map[string]string{
			"/var/lib/strobe": dir + "/data", "/backups": dir + "/backups",
			":7070": portOf(page), ":11000": portOf(grpc), "profiles.example.com": "localhost",
		},
	})
	if err := os.Mkdir(dir+"/backups", 0o700); err != nil {
		t.Fatal(err)
	}
	sh.Run(fleet.Block(0))
	watch := doctest.Open(t, "docs/operate.md", "Watch")
	sh.RunUntil(watch.Block(0), nil)
	sh.Run(fleet.Block(1))
	sh.RunUntil(fleet.Block(2), nil)
	sh.RunUntil(fleet.Block(3), func(out string) bool { return !strings.Contains(out, "No hosts") })
	sh.RunSection(doctest.Open(t, "docs/operate.md", "Backup and restore"))
	sh.RunSection(doctest.Open(t, "docs/operate.md", "Tokens and certificates"))
	// The agent goes on with the new token.
	sh.RunUntil(fleet.Block(2), nil)
}

// TestTroubleshoot runs the three commands that docs/troubleshoot.md begins with,
// where all is well.
func TestTroubleshoot(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	page, grpc, own := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	startServer(t, t.TempDir(), grpc, page)
	startService(t, "agent", "-collection-agent", grpc, "-http-address", own)
	doc := doctest.Open(t, "docs/troubleshoot.md", "Troubleshoot")
	doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	sh := doc.Shell(t, doctest.Options{
		Path: []string{bin}, Env: []string{"STROBE_AGENT_HTTP_ADDRESS=" + own, "STROBE_URL=http://" + page},
	})
	sh.Run(doc.Block(0))
	sh.RunUntil(doc.Block(1), nil)
	sh.RunUntil(doc.Block(2), nil)
}

// TestReadme tries the commands of the README: those for one program, those of a
// fleet, and the questions, to a server with samples.
func TestReadme(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	dir := t.TempDir()
	if err := os.Symlink(bin, dir+"/bin"); err != nil {
		t.Fatal(err)
	}
	doc := doctest.Open(t, "README.md", "Use it")
	one := doc.Shell(t, doctest.Options{Dir: dir, Replace: map[string]string{
		"PID": strconv.Itoa(burner(t).Process.Pid), "10s": "1s", "./program": "perl -e '1 for 1 .. 1e7'",
	}})
	one.Run(doc.Block(0))
	one.Run(doc.Block(1))

	page, grpc, own := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	fleet := doc.Shell(t, doctest.Options{
		Dir: dir, Env: []string{"STROBE_AGENT_HTTP_ADDRESS=" + own, "STROBE_AGENT_SPOOL_DIR=" + dir + "/spool"},
		Replace: map[string]string{
			"/var/lib/strobe": dir + "/data", ":7070": portOf(page), ":11000": portOf(grpc), "collector.example": "localhost", " ca.pem": " data/tls/ca.pem",
		},
	})
	fleet.Run(doc.Block(2))
	doctest.WaitListen(t, page)
	fleet.Run(doc.Block(3))
	fleet.RunUntil(doc.Block(4), nil)

	page, grpc = program.FreeAddress(t), program.FreeAddress(t)
	startServer(t, t.TempDir(), grpc, page)
	startService(t, "agent", "-collection-agent", grpc, "-http-address", "off")
	ask := doc.Shell(t, doctest.Options{
		Dir: dir, Env: []string{"STROBE_URL=http://" + page},
		Replace: map[string]string{"127.0.0.1:7070": page, "service=web": "service=e2e-burner", `service="web"`: `service="e2e-burner"`},
	})
	ask.RunUntil(doc.Block(5), func(out string) bool { return strings.Contains(out, "burnInner") })
	ask.Run(doc.Block(6))
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':'):] }

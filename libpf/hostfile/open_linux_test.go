// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support/skip"
)

// tree makes files in a folder: "name" a file that holds its own name, "name/" a
// folder, "name -> target" a link.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, target, link := strings.Cut(e, " -> ")
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o700)
		default:
			err = os.WriteFile(path, []byte(name), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// content opens a file and returns what is in it.
func content(f *os.File, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	b, err := ReadAll(f, 1<<20)
	return string(b), err
}

// count returns how many files were refused for a reason.
func count(want Reason) (found uint64) {
	Refusals(func(reason string, n uint64) {
		if reason == want.String() {
			found = n
		}
	})
	return found
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	root := tree(t, "dir/", "to_fifo -> fifo", "to_dir -> dir", "to_tty -> /dev/tty", "loop -> loop")
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // after the parallel tests, with which the socket's file goes
	tests := map[string]struct {
		path string
		want Reason
	}{
		"FIFO":          {filepath.Join(root, "fifo"), NotRegular},
		"link to FIFO":  {filepath.Join(root, "to_fifo"), NotRegular},
		"folder":        {filepath.Join(root, "dir"), NotRegular},
		"link to dir":   {filepath.Join(root, "to_dir"), NotRegular},
		"socket":        {filepath.Join(root, "socket"), NotRegular},
		"device":        {"/dev/null", NotRegular},
		"terminal":      {filepath.Join(root, "to_tty"), NotRegular},
		"proc":          {"/proc/self/status", PseudoFile},
		"kernel log":    {"/proc/kmsg", PseudoFile},
		"sys":           {"/sys/kernel/notes", PseudoFile},
		"its own child": {"/proc/self/fd/../status", PseudoFile},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Lstat(test.path); err != nil {
				skip.Because(t, "this host has no "+test.path)
			}
			before := count(test.want)
			f, err := Open(test.path)
			if err == nil {
				_ = f.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, ErrRefused) || errors.Is(err, ErrNotRegular) != (test.want == NotRegular) {
				t.Errorf("error %v", err)
			}
			if count(test.want) == before {
				t.Error("not counted")
			}
		})
	}
	if _, err := Open(filepath.Join(root, "loop")); !errors.Is(err, unix.ELOOP) {
		t.Errorf("loop: %v", err)
	}
	if _, err := Open(filepath.Join(root, "nothing")); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrRefused) {
		t.Errorf("nothing: %v", err)
	}
}

// TestOpenDevice shows that a device is not opened at all: opening the other
// end of a fresh terminal line would be seen.
func TestOpenDevice(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	path := filepath.Join(t.TempDir(), "device")
	// Nothing answers to this number, so that opening it would be ENXIO.
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(250, 250))); err != nil {
		skip.Because(t, "mknod is not allowed here: "+err.Error())
	}
	if _, err := Open(path); !errors.Is(err, ErrNotRegular) {
		t.Errorf("error %v, want that of what was not opened", err)
	}
	if _, err := OpenInRoot(filepath.Dir(path), "device"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("in root: %v", err)
	}
}

// outside is a root that lies in a folder with a secret, and what may lead there.
func outside(t *testing.T) string {
	t.Helper()
	return filepath.Join(tree(t, "secret", "etc/secret", "root/etc/file", "root/lib -> usr/lib", "root/usr/lib/so",
		"root/absolute -> /etc/file", "root/up -> ../secret", "root/far -> ../../../../../../../etc/passwd",
		"root/abs_secret -> /secret", "root/usr/up -> ../../..", "root/a -> b", "root/b -> a", "root/dot -> .",
		"root/etc/passwd -> /etc/file", "root/usr/rel -> ../etc/file"), "root")
}

func TestOpenInRoot(t *testing.T) {
	t.Parallel()
	root := outside(t)
	tests := map[string]struct{ path, want string }{
		"plain":               {"/etc/file", "root/etc/file"},
		"relative":            {"etc/file", "root/etc/file"},
		"link":                {"/absolute", "root/etc/file"},
		"link to folder":      {"/lib/so", "root/usr/lib/so"},
		"slashes":             {"//etc///./file", "root/etc/file"},
		"dots":                {"/../../etc/file", "root/etc/file"},
		"dots in the middle":  {"/usr/lib/../../../../etc/file", "root/etc/file"},
		"dots behind a link":  {"/lib/../../etc/file", "root/etc/file"},
		"relative link":       {"/usr/rel", "root/etc/file"},
		"link to the root":    {"/dot/dot/etc/file", "root/etc/file"},
		"out by a link":       {"/up", ""},
		"out by a long one":   {"/far", "root/etc/file"}, // which is passwd in this root
		"out by an absolute":  {"/abs_secret", ""},
		"out by a folder":     {"/usr/up/secret", ""},
		"out and in":          {"/usr/up/etc/file", "root/etc/file"},
		"out by dots":         {"/../secret", ""},
		"loop":                {"/a", ""},
		"nothing":             {"/nothing", ""},
		"file as folder":      {"/etc/file/x", ""},
		"file with a slash":   {"/etc/file/", ""},
		"folder":              {"/usr", ""},
		"root":                {"/", ""},
		"long name":           {"/" + strings.Repeat("x", 300), ""},
		"zero byte":           {"/etc/file\x00x", ""},
		"link to a far place": {"/etc/passwd", "root/etc/file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := content(OpenInRoot(root, test.path))
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
			walked, walkErr := content(walkFile(root, test.path, 0))
			if walked != got || (walkErr == nil) != (err == nil) {
				t.Errorf("without openat2: %q, %v", walked, walkErr)
			}
		})
	}
	if _, err := OpenInRoot(filepath.Join(root, "nowhere"), "/etc/file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no root: %v", err)
	}
	before := count(Link)
	if _, err := OpenInRoot(root, "/a"); !errors.Is(err, ErrRefused) || count(Link) == before {
		t.Errorf("loop: %v", err)
	}
	if _, err := OpenInRootNoFollow(root, "/absolute"); !errors.Is(err, ErrRefused) {
		t.Errorf("a link that must be none: %v", err)
	}
	if _, err := walkFile(root, "/absolute", unix.O_NOFOLLOW); !errors.Is(err, ErrRefused) {
		t.Errorf("without openat2, a link that must be none: %v", err)
	}
	if got, err := content(OpenInRootNoFollow(root, "/lib/so")); got != "root/usr/lib/so" {
		t.Errorf("links in front of the last component: %q, %v", got, err)
	}
}

// walkFile is OpenInRoot on a kernel without openat2.
func walkFile(root, path string, flags int) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir) //nolint:errcheck // only a path
	if strings.ContainsRune(path, 0) {
		return nil, unix.EINVAL // as the wrapper of the system call does
	}
	fd, err := walk(dir, path, flags)
	if err != nil {
		return nil, err
	}
	return read(fd, path)
}

// TestMagicLinks shows that links of /proc do not lead out.
func TestMagicLinks(t *testing.T) {
	t.Parallel()
	before := count(Link)
	for _, path := range []string{"/proc/self/root/etc/passwd", "/proc/self/exe", "/proc/self/cwd/open_test.go"} {
		if _, err := OpenInRoot("/", path); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := walkFile("/", path, 0); !errors.Is(err, unix.ELOOP) {
			t.Errorf("without openat2, %s: %v", path, err)
		}
	}
	if count(Link) < before+3 {
		t.Error("not counted")
	}
}

// TestChroot uses the root of a thread that really has another one.
func TestChroot(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	root := outside(t)
	tid := make(chan int)
	done := make(chan struct{})
	defer close(done)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(root)); err != nil {
			t.Error(err)
		}
		tid <- unix.Gettid()
		<-done
	}()
	link := fmt.Sprintf("/proc/self/task/%d/root", <-tid)
	for path, want := range map[string]string{"/etc/file": "root/etc/file", "/abs_secret": "", "/up": "", "/far": "root/etc/file"} {
		if got, err := content(OpenInRoot(link, path)); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
		if got, err := content(walkFile(link, path, 0)); got != want || (err == nil) != (want != "") {
			t.Errorf("without openat2, %s: %q, %v; want %q", path, got, err, want)
		}
	}
}

// TestWalk compares the fallback with the kernel on random trees of links.
func TestWalk(t *testing.T) {
	t.Parallel()
	seed := uint64(1)
	if _, err := content(OpenInRoot(t.TempDir(), "/x")); noOpenat2.Load() {
		skip.Because(t, "this kernel has no openat2 to compare with: "+err.Error())
	}
	for range 40 {
		r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not a secret
		seed++
		name := func() string { return string(rune('a' + r.IntN(5))) }
		path := func() string {
			var b strings.Builder
			for i := range 1 + r.IntN(4) {
				if i > 0 || r.IntN(2) == 0 {
					b.WriteString("/")
				}
				b.WriteString([]string{"..", ".", "", name(), name(), name(), name()}[r.IntN(7)])
			}
			return b.String()
		}
		entries := []string{"root/"}
		for range 12 {
			at := "root"
			for range 1 + r.IntN(3) {
				at += "/" + name()
			}
			entries = append(entries, at+[]string{"", "/", " -> " + path(), " -> " + path()}[r.IntN(4)])
		}
		root := filepath.Join(randomTree(t, entries), "root")
		for range 200 {
			p := path()
			want, wantErr := content(OpenInRoot(root, p))
			got, err := content(walkFile(root, p, 0))
			if got != want || (err == nil) != (wantErr == nil) {
				t.Fatalf("seed %d, %q in %q: %q, %v; the kernel has %q, %v", seed-1, p, entries, got, err, want, wantErr)
			}
		}
	}
}

// randomTree is tree that leaves out what does not fit together.
func randomTree(t *testing.T, entries []string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		name, target, link := strings.Cut(e, " -> ")
		path := filepath.Join(root, name)
		_ = os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case link && target != "":
			_ = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			_ = os.MkdirAll(path, 0o700)
		default:
			_ = os.WriteFile(path, []byte(name), 0o600)
		}
	}
	return root
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sparse")
	if err := errors.Join(os.WriteFile(path, []byte("start"), 0o600), os.Truncate(path, 1<<40)); err != nil {
		skip.Because(t, "no file of 1 TiB here: "+err.Error())
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	before := count(TooLarge)
	if _, err := ReadAll(f, 1<<20); !errors.Is(err, ErrRefused) || count(TooLarge) == before {
		t.Errorf("1 TiB of nothing: %v", err)
	}
}

func TestOwnedBy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(tree(t, "file"), "file")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()            //nolint:errcheck // read only
	own := uint32(os.Getuid()) //nolint:gosec // a user
	if err := OwnedBy(f, own+1, own); err != nil {
		t.Error(err)
	}
	if err := OwnedBy(f, own+1); !errors.Is(err, ErrRefused) {
		t.Errorf("another user's: %v", err)
	}
}

// TestReasons keeps the names of reasons in step with their numbers.
func TestReasons(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := range reasons {
		if name := r.String(); name == "unknown" || seen[name] {
			t.Errorf("reason %d is %q", r, name)
		} else {
			seen[name] = true
		}
	}
}

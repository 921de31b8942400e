// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckToken(t *testing.T) {
	t.Parallel()
	const secret = "strobe_5eCr3t"
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		content string
		mode    os.FileMode
		path    string // in place of a file with that content
		want    string // "" for no error
	}{
		"owner only":     {content: secret + "\n", mode: 0o600},
		"read only":      {content: secret, mode: 0o400},
		"group reads":    {content: secret, mode: 0o640},
		"world readable": {content: secret, mode: 0o644, want: "(mode 0644): chmod 0600"},
		"world writable": {content: secret, mode: 0o602, want: "chmod 0600"},
		"group writes":   {content: secret, mode: 0o660, want: "chmod 0600"},
		"empty":          {content: "", mode: 0o600, want: "is empty: write a token"},
		"blank":          {content: " \n\t", mode: 0o600, want: "is empty"},
		"two lines":      {content: secret + "\n" + secret + "\n", mode: 0o600, want: "more than one token"},
		"binary":         {content: secret + "\x00", mode: 0o600, want: "printable"},
		"huge":           {content: strings.Repeat(secret, 1000), mode: 0o600, want: "larger than 4 KiB"},
		"missing":        {path: filepath.Join(dir, "nowhere"), want: "no such file"},
		"directory":      {path: dir, want: "no regular file"},
		"FIFO":           {path: filepath.Join(dir, "fifo"), want: "no regular file"},
		"device":         {path: "/dev/null", want: "no regular file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{TokenFile: test.path}
			if c.TokenFile == "" {
				c.TokenFile = filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(c.TokenFile, []byte(test.content), test.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(c.TokenFile, test.mode); err != nil { // whatever the umask
					t.Fatal(err)
				}
			}
			err := c.CheckToken()
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "-token-file: ")):
				t.Errorf("error %v, want %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), secret):
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
	if err := new(Config).CheckToken(); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

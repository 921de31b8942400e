// SPDX-License-Identifier: Apache-2.0

package tokenfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	const secret = "strobe_5eCr3t"
	for content, want := range map[string]string{
		secret:                                "",
		" " + secret + "\r\n":                 "",
		"":                                    "is empty",
		" \n\t":                               "is empty",
		secret + "\n" + secret + "\n":         "more than one token",
		secret + "\x00":                       "printable",
		secret + "é":                          "printable",
		strings.Repeat(secret, maxKiB<<10/10): "larger than 4 KiB",
		secret + strings.Repeat("\n", maxKiB<<10): "larger than 4 KiB",
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		token, mode, err := Read(path)
		switch {
		case want == "" && (err != nil || token != secret || mode != 0o600):
			t.Errorf("%.20q: %q, mode %o, error %v", content, token, mode, err)
		case want != "" && (err == nil || token != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret)):
			t.Errorf("%.20q: %q, error %v, want %q", content, token, err, want)
		}
	}
	if _, _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory: %v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// FuzzParseLocation never takes a URL with a user in it, and repeats no password.
func FuzzParseLocation(f *testing.F) {
	f.Add("s3://bucket/a/b?endpoint=https://host:9000&region=eu&path-style=true")
	f.Add("s3://key:hunter2@bucket/a")
	f.Add("file:///var/lib")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := objects.ParseLocation(text)
		if (l == nil) == (err == nil) {
			t.Errorf("%q: %+v, %v", text, l, err)
		}
		if l != nil && (strings.Contains(l.Bucket, "@") || strings.HasPrefix(l.Prefix, "/") || strings.HasPrefix(l.Prefix, "../")) {
			t.Errorf("%q: %+v", text, l)
		}
	})
}

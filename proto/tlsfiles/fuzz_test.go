// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"slices"
	"testing"

	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

// FuzzParse reads anything as certificates, keys and authorities: an error or
// something usable comes out, never both, and never a panic. Files are kilobytes, so
// give it -fuzzminimizetime 10x.
func FuzzParse(f *testing.F) {
	ca := tlstest.New(f, "ca")
	cert, key := ca.Issue(tlstest.Leaf{})
	for _, pair := range [][2][]byte{
		{cert, key},
		{append(slices.Clip(cert), ca.PEM...), append(slices.Clip(key), cert...)},
		{key, cert},
		{cert[:len(cert)/2], key[:len(key)-5]},
		{[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN EC PRIVATE KEY-----\nDEK-Info: a\n\nAAAA\n-----END EC PRIVATE KEY-----\n")},
		{[]byte("\n-----BEGIN \n-----BEGIN"), nil},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if len(cert) > maxFileBytes || len(key) > maxFileBytes {
			return // are not read
		}
		if m, err := parsePair(cert, key); (m == nil) == (err == nil) || m != nil && (m.pair == nil || m.pair.Leaf == nil) {
			t.Errorf("pair: %+v, %v", m, err)
		}
		if m, err := parseAuthorities(cert); (m == nil) == (err == nil) || m != nil && m.pool == nil {
			t.Errorf("authorities: %+v, %v", m, err)
		}
	})
}

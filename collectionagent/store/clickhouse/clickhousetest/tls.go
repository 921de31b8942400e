// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"testing"

	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
	"github.com/strobe-profiler/strobe/support/program"
)

// StartLegacyTLS starts a server of Debian's version that also speaks TLS, on the
// address that is returned, with a certificate for 127.0.0.1 by the authority whose
// certificate is returned as PEM.
func StartLegacyTLS(t testing.TB) (s *Server, secure string, authority []byte) {
	t.Helper()
	a := tlstest.New(t, "authority of the tests")
	c := &legacyConfig{
		Dir: t.TempDir(), HTTP: portOf(program.FreeAddress(t)), TCP: portOf(program.FreeAddress(t)), Inter: portOf(program.FreeAddress(t)), Secure: portOf(program.FreeAddress(t)),
	}
	c.Certificate, c.Key = a.IssueFiles(tlstest.Leaf{Names: []string{"127.0.0.1"}})
	s = newLegacy(t, "the server with TLS", c)
	s.Start()
	return s, "127.0.0.1:" + c.Secure, a.PEM
}

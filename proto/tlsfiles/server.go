// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// ServerConfig returns the configuration of a server that speaks the given
// protocols, such as "h2" and "http/1.1", by preference. With clientAuth a client
// must show a certificate of the authorities in CAFile; asking for that without
// authorities is an error, and so are files without a certificate.
//
// Sessions are not resumed: every connection is checked against the authorities
// that are in force when it is made.
func (f *Files) ServerConfig(clientAuth bool, protocols ...string) (*tls.Config, error) {
	if f.pair == nil {
		return nil, errors.New("a server needs a certificate: give -tls-cert and -tls-key")
	}
	if clientAuth && f.authorities == nil {
		return nil, errors.New("certificates of clients cannot be verified without " + f.options.CAFlag)
	}
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols, SessionTicketsDisabled: true, Time: f.options.Now,
	}
	if clientAuth {
		base.ClientAuth = tls.RequireAndVerifyClientCert
	}
	forClient := func(*tls.ClientHelloInfo) (*tls.Config, error) {
		f.Check()
		c := base.Clone()
		c.Certificates = []tls.Certificate{*f.pair.now.Load().pair}
		if clientAuth {
			c.ClientCAs = f.authorities.now.Load().pool
		}
		return c, nil
	}
	out := base.Clone()
	out.GetConfigForClient = forClient
	return out, nil
}

// ServerCredentials is ServerConfig for a gRPC server. Handshakes that fail are
// counted, and end in a way that lets the client know why.
func (f *Files) ServerCredentials(clientAuth bool) (credentials.TransportCredentials, error) {
	c, err := f.ServerConfig(clientAuth, "h2")
	if err != nil {
		return nil, err
	}
	return &serverCredentials{TransportCredentials: credentials.NewTLS(c), files: f}, nil
}

type serverCredentials struct {
	credentials.TransportCredentials
	files *Files
}

// ServerHandshake implements credentials.TransportCredentials.
func (s *serverCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	lingering := &lingeringConn{Conn: raw, linger: true}
	conn, info, err := s.TransportCredentials.ServerHandshake(lingering)
	lingering.linger = false // the connection is in nobody else's hands yet, or closed
	if err != nil {
		s.files.handshakesFailed.Add(1)
		s.files.options.Logger.Debug("TLS handshake failed", "peer", raw.RemoteAddr().String(), "err", err)
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (s *serverCredentials) Clone() credentials.TransportCredentials {
	return &serverCredentials{TransportCredentials: s.TransportCredentials.Clone(), files: s.files}
}

// lingeringConn closes so that the peer can read what was written last. In TLS 1.3
// a client is done before the server has seen its certificate, and sends at once.
// Closing with that unread resets the connection, and the alert that says what was
// wrong with the certificate is lost on the way.
type lingeringConn struct {
	net.Conn
	linger bool
}

// Bounds of what is read for nothing.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// Close implements net.Conn.
func (c *lingeringConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger && half.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // it ends anyhow
	}
	return c.Conn.Close()
}

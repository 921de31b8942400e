// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// ClientCredentials returns the client's side for gRPC. base may be nil; what the
// files say replaces what it says, and the version is raised to 1.3. Its ServerName
// is the name that the server's certificate must have, if not that of the address.
//
// Every connection verifies the server against the authorities that are in force
// when it is made, or the system's without CAFile. Errors say what a person can do.
func (f *Files) ClientCredentials(base *tls.Config) credentials.TransportCredentials {
	if base == nil {
		base = &tls.Config{} //nolint:gosec // see clientConfig
	}
	return &clientCredentials{files: f, base: base.Clone()}
}

// clientConfig is the configuration for one connection.
func (f *Files) clientConfig(base *tls.Config) *tls.Config {
	f.Check()
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	if c.MaxVersion != 0 {
		c.MaxVersion = max(c.MaxVersion, tls.VersionTLS13)
	}
	if f.authorities != nil {
		c.RootCAs = f.authorities.now.Load().pool
	}
	if f.pair != nil {
		pair := f.pair.now.Load().pair
		// Shown whatever the server says it would like: its answer then tells what is
		// wrong with this one, not that there was none.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	if c.Time == nil {
		c.Time = f.options.Now
	}
	return c
}

type clientCredentials struct {
	files *Files
	base  *tls.Config
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *clientCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := credentials.NewTLS(c.files.clientConfig(c.base)).ClientHandshake(ctx, authority, raw)
	if err != nil {
		c.files.noteFailure()
		return nil, nil, c.files.explain(err, authority)
	}
	return c.files.explained(conn, authority), info, nil
}

// explained makes a connection say why it failed.
func (f *Files) explained(conn net.Conn, authority string) net.Conn {
	var once sync.Once
	return &explainedConn{Conn: conn, explain: func(err error, _ []byte) error {
		if err == nil || errors.Is(err, net.ErrClosed) { // well, or closed by this end
			return err
		}
		once.Do(f.noteFailure)
		return f.explain(err, authority)
	}}
}

// noteFailure counts a connection that failed and has the files looked at before
// the next one: perhaps they were replaced just now.
func (f *Files) noteFailure() {
	f.handshakesFailed.Add(1)
	f.force.Store(true)
}

// ClientConfig returns the client's side as of now, for what cannot be given a
// [Files.Dialer].
func (f *Files) ClientConfig(base *tls.Config) *tls.Config {
	if base == nil {
		base = &tls.Config{} //nolint:gosec // see clientConfig
	}
	return f.clientConfig(base)
}

// Dialer returns a function that connects, with dial, and shakes hands, for HTTP/1.1. As
// with [Files.ClientCredentials], every connection takes the files as they are by then.
func (f *Files) Dialer(base *tls.Config, dial func(ctx context.Context, network, address string) (net.Conn, error),
) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		config := f.ClientConfig(base)
		config.NextProtos = []string{"http/1.1"}
		if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
			config.ServerName = host
		}
		conn := tls.Client(raw, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			f.noteFailure()
			return nil, errors.Join(f.explain(err, address), raw.Close())
		}
		return f.explained(conn, address), nil
	}
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *clientCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.files.clientConfig(c.base)).ServerHandshake(raw)
}

// Info implements credentials.TransportCredentials.
func (c *clientCredentials) Info() credentials.ProtocolInfo { return credentials.NewTLS(c.base).Info() }

// Clone implements credentials.TransportCredentials.
func (c *clientCredentials) Clone() credentials.TransportCredentials {
	return &clientCredentials{files: c.files, base: c.base.Clone()}
}

// OverrideServerName implements credentials.TransportCredentials.
func (c *clientCredentials) OverrideServerName(name string) error {
	c.base.ServerName = name
	return nil
}

// Plaintext returns credentials without TLS, whose errors say so when the server
// seems to expect it.
func Plaintext() credentials.TransportCredentials { return plaintext{insecure.NewCredentials()} }

type plaintext struct {
	credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (p plaintext) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return &explainedConn{Conn: conn, explain: explainPlaintext}, info, nil
}

// Clone implements credentials.TransportCredentials.
func (p plaintext) Clone() credentials.TransportCredentials {
	return plaintext{p.TransportCredentials.Clone()}
}

// explainedConn explains why it failed, as long as it fails before the server said
// anything: in TLS 1.3 a server's opinion of the client's certificate comes after
// the client's handshake.
type explainedConn struct {
	net.Conn
	explain func(err error, first []byte) error
	heard   atomic.Bool
}

// Read implements net.Conn.
func (c *explainedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.heard.Load() {
		return n, err
	}
	if n > 0 {
		c.heard.Store(true)
		if e := c.explain(nil, p[:n]); e != nil {
			return 0, e
		}
		return n, err
	}
	if err != nil {
		err = c.explain(err, nil)
	}
	return n, err
}

// Write implements net.Conn.
func (c *explainedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && !c.heard.Load() {
		err = c.explain(err, nil)
	}
	return n, err
}

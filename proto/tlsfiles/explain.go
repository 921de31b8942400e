// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// problem is an error with what a person can do about it in front.
type problem struct {
	advice string
	err    error
}

func (p *problem) Error() string { return p.advice + " (" + p.err.Error() + ")" }
func (p *problem) Unwrap() error { return p.err }

// cut reports whether a connection just ended.
func cut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// explain says what a person can do about a connection that failed. err is nil if
// it did not.
func (f *Files) explain(err error, name string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		return err
	}
	if host, _, e := net.SplitHostPort(name); e == nil {
		name = host
	}
	ca := f.options.CAFlag
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		remote  *net.OpError
	)
	advice := ""
	switch {
	case errors.As(err, &host):
		advice = fmt.Sprintf("the server's certificate is not for %s%s: use a name that it has as the address, or give it with -tls-server-name",
			name, namesOf(host.Certificate))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		now := f.options.Now().UTC()
		advice = fmt.Sprintf("the server's certificate, or its authority's, is valid from %s to %s, and the clock here says %s: renew it, or set the clock",
			invalid.Cert.NotBefore.UTC().Format(clockForm), invalid.Cert.NotAfter.UTC().Format(clockForm), now.Format(clockForm))
	case errors.As(err, &unknown) && f.authorities != nil:
		advice = fmt.Sprintf("the server's certificate is not from an authority in %s: give the right one's certificate with %s, "+
			"and check that the server sends its intermediate certificates", f.options.CAFile, ca)
	case errors.As(err, &unknown):
		advice = "the server's certificate is from an authority that this machine does not know: give the authority's certificate with " + ca
	case errors.As(err, &invalid):
		advice = "the server's certificate is not fit for a server"
	case errors.As(err, &record):
		advice = "the server does not speak TLS: turn TLS on there, or give -disable-tls if the network in between is trusted"
		if bytes.HasPrefix(record.RecordHeader[:], []byte("HTTP/")) {
			advice = "the server speaks HTTP without TLS: is this the address for agents?"
		}
	case errors.As(err, &remote) && remote.Op == "remote error":
		advice = f.explainAlert(remote.Err.Error())
	case cut(err) && f.pair == nil:
		advice = "the server ended the connection: perhaps it wants a certificate of this client, which -tls-cert and -tls-key give"
	case cut(err):
		advice = "the server ended the connection: perhaps it does not accept " + f.own()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		advice = "the server did not answer in TLS in time: does it speak TLS?"
	}
	if advice == "" {
		return err
	}
	return &problem{advice, err}
}

const clockForm = "2006-01-02 15:04:05 MST"

// explainAlert says what a person can do about an alert that the server sent.
func (f *Files) explainAlert(alert string) string {
	has := func(words string) bool { return strings.Contains(alert, words) }
	switch {
	case has("protocol version"):
		return "the server speaks no TLS 1.3: bring it up to date"
	case has("certificate required"), f.pair == nil && (has("bad certificate") || has("handshake failure")):
		return "the server wants a certificate of this client: give one with -tls-cert and -tls-key"
	case f.pair == nil:
		return ""
	case has("unknown certificate authority"):
		return "the server does not know the authority of " + f.own() + ": use one that its -tls-client-ca holds"
	case has("expired certificate"), has("bad certificate"), has("unknown certificate"), has("unsupported certificate"),
		has("revoked certificate"), has("access denied"):
		return "the server does not accept " + f.own()
	}
	return ""
}

// own describes the client's certificate.
func (f *Files) own() string {
	text := "the certificate in " + f.options.CertFile
	if bad := validity("certificate", f.pair.now.Load(), f.options.Now()); bad != nil {
		text += " - " + bad.Error()
	}
	return text
}

// namesOf lists a few names of a certificate. They come from a stranger.
func namesOf(cert *x509.Certificate) string {
	const most = 5
	var names []string
	if cert != nil {
		names = append(names, cert.DNSNames...)
		for _, ip := range cert.IPAddresses {
			names = append(names, ip.String())
		}
	}
	if len(names) == 0 {
		return " and has no name at all"
	}
	more := ""
	if len(names) > most {
		names, more = names[:most], " and more"
	}
	clean := func(r rune) rune {
		if r <= ' ' || r > '~' || r == '"' {
			return '?'
		}
		return r
	}
	for i, name := range names {
		names[i] = strings.Map(clean, name[:min(len(name), 100)])
	}
	return " but for " + strings.Join(names, ", ") + more
}

// explainPlaintext says when a server without TLS seems to have it. err is nil if
// the connection did not fail; first is what the server said first.
func explainPlaintext(err error, first []byte) error {
	switch {
	// An alert or a handshake record of TLS.
	case len(first) >= 2 && (first[0] == 0x15 || first[0] == 0x16) && first[1] == 3:
		return errors.New("the server speaks TLS and this end does not: leave out -disable-tls, and name the server's authority with -tls-ca")
	case bytes.HasPrefix(first, []byte("HTTP/1")):
		return errors.New("the server speaks HTTP/1: is this the address for agents?")
	case err != nil && cut(err):
		return &problem{"the server ended the connection before it said anything: perhaps it speaks TLS and this end does not; " +
			"then leave out -disable-tls, and name the server's authority with -tls-ca", err}
	}
	return err
}

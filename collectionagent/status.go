// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/strobe-profiler/strobe/internal/settings"
)

const statusUsage = `Usage: collectionagent status [flags]

Asks the server that runs on this machine whether it is ready, and prints its
answer: the health check of a container that has no shell. It finds the server by
-http-address and the settings of TLS, which may come from the environment and
the file of -config too, as for the server itself. It needs no token, and shows
-tls-cert to a server that wants a certificate of all clients. What the server
stores, and how its agents are, "strobectl status" asks from anywhere.

Exit status: 0 if it is ready, 1 if not or if nobody answers, 2 wrong usage.
`

// statusTimeout is for the whole of a question, so that a check does not hang.
const statusTimeout = 5 * time.Second

// statusCommand asks the running server whether it is ready.
func statusCommand(args, environ []string, stdout, stderr io.Writer) int {
	var problems bytes.Buffer // not the help of the server
	c, _, err := load(args, environ, &problems)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, statusUsage)
		return exitOK
	case errors.Is(err, errUsage):
		line, _, _ := bytes.Cut(problems.Bytes(), []byte("\n"))
		_, _ = fmt.Fprintf(stderr, "%s\n%s", line, statusUsage)
		return exitUsage
	case err != nil:
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	answer, err := askReady(ctx, c)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	_, _ = fmt.Fprintln(stdout, answer)
	return exitOK
}

// askReady returns what the server says while it is ready.
func askReady(ctx context.Context, c *Config) (string, error) {
	if err := checkAddress(c.HTTPAddress); err != nil {
		return "", fmt.Errorf("-http-address: %w", err)
	}
	scheme := "http"
	if c.encrypts(c.HTTPAddress) {
		scheme = "https"
	}
	at := scheme + "://" + settings.Dialable(c.HTTPAddress) + "/-/ready"
	// The certificate may be for other names than that of this machine. Nothing is sent, and what
	// is believed is only that somebody is ready.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: c.shownBySelf}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", fmt.Errorf("ask the server: %w", err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the server whether it is ready, see %s: %w", c.doubted(err), err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", fmt.Errorf("read the server's answer: %w", err)
	}
	answer := string(bytes.TrimSpace(b))
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, nil
}

// doubted names what to look at when a question has failed so: the address, or who is let in.
func (c *Config) doubted(err error) string {
	var op *net.OpError
	nobody := errors.As(err, &op) && op.Op == "dial"
	if nobody || c.TLSClientCA == "" || c.TLSClientAuth != clientAuthAll {
		return "-http-address"
	}
	return "-tls-client-auth, which with all asks this command for a -tls-cert that -tls-client-ca signed and that is good for clients"
}

// shownBySelf returns the certificate of the server, for when it wants one of all clients.
// Whether it does for one of its own is up to -tls-client-ca; if not, none is shown.
func (c *Config) shownBySelf(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if c.TLSCert == "" {
		return &tls.Certificate{}, nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("read -tls-cert and -tls-key: %w", err)
	}
	if asked.SupportsCertificate(&pair) != nil {
		return &tls.Certificate{}, nil
	}
	return &pair, nil
}

// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/internal/smallfile"
	"github.com/strobe-profiler/strobe/proto/tlsfiles"
	"github.com/strobe-profiler/strobe/proto/tokenfile"
)

// client asks the targets of jobs that are asked in the same way.
type client struct {
	config    clientConfig
	userAgent string
	http      http.Client
}

const (
	maxRedirects     = 5
	handshakeTimeout = 10 * time.Second
)

// newClient reads the files of TLS; those of secrets are read for each request.
func newClient(c clientConfig, userAgent string, logger *slog.Logger) (*client, error) {
	transport := &http.Transport{
		// No proxy: an environment variable must not decide where credentials go.
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConns:           1000,
		MaxIdleConnsPerHost:    5, // as many profiles as are fetched unless something else is said
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // profiles are compressed in themselves
	}
	files, err := tlsfiles.Open(tlsfiles.Options{
		CertFile: c.tls.certFile, KeyFile: c.tls.keyFile, CAFile: c.tls.caFile,
		CertFlag: "cert_file", KeyFlag: "key_file", CAFlag: "ca_file", Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	transport.DialTLSContext = dialTLS(transport.DialContext, c.tls, files)
	out := &client{config: c, userAgent: userAgent}
	out.http = http.Client{Transport: transport, CheckRedirect: out.redirect}
	return out, nil
}

// dialTLS returns a function that connects with what the files hold at that time.
func dialTLS(
	dial func(context.Context, string, string) (net.Conn, error), c tlsConfig, files *tlsfiles.Files,
) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		name := c.serverName
		if name == "" {
			if name, _, err = net.SplitHostPort(address); err != nil {
				name = address
			}
		}
		config := files.ClientConfig(&tls.Config{ServerName: name, InsecureSkipVerify: c.insecure}) //nolint:gosec // asked for
		if c.minVersion == "TLS12" {
			config.MinVersion = tls.VersionTLS12 //nolint:gosec // asked for
		}
		conn := tls.Client(raw, config)
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout) // that of the request is not passed on
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // is of no use
			return nil, &failure{"tls", fmt.Errorf("agree on TLS: %w", err)}
		}
		return conn, nil
	}
}

// close ends the connections that nothing uses.
func (c *client) close() { c.http.CloseIdleConnections() }

// get sends a request. The error shows no secret, and nothing of the parameters.
func (c *client) get(ctx context.Context, address string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &failure{"address", errors.New("the address is not one")}
	}
	r.Header.Set("User-Agent", c.userAgent)
	r.Header.Set("Accept-Encoding", "identity")
	if err := c.authorize(r); err != nil {
		return nil, &failure{"credentials", err}
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, explain(err, r.URL.RawQuery)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	if !c.config.followRedirects && answer.StatusCode >= 300 && answer.StatusCode < 400 {
		return nil, &failure{"redirect", fmt.Errorf("the target redirects (%d), which follow_redirects says not to follow", answer.StatusCode)}
	}
	return nil, &failure{"status", fmt.Errorf("the target answered %d %s%s", answer.StatusCode, http.StatusText(answer.StatusCode), saysPprof(answer))}
}

// saysPprof returns what Go's net/http/pprof says is wrong, such as that somebody else
// has the CPU profile taken. What others say is nobody's business.
func saysPprof(answer *http.Response) string {
	if answer.Header.Get("X-Go-Pprof") != "1" {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 200))
	if err != nil || len(text) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(text))
}

// maxPasswordKiB bounds a file with a password, in case it is another one.
const maxPasswordKiB = 4

// authorize adds the credentials.
func (c *client) authorize(r *http.Request) error {
	switch {
	case c.config.basic:
		password := c.config.password
		if file := c.config.passwordFile; file != "" {
			b, _, err := smallfile.Read(file, maxPasswordKiB)
			if err != nil {
				return fmt.Errorf("password_file: %w", err)
			}
			if password = strings.TrimSpace(string(b)); password == "" {
				return fmt.Errorf("password_file: %s is empty: write the password into it", file)
			}
		}
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.config.username+":"+password)))
	case c.config.authorization != "":
		credentials := c.config.credentials
		if file := c.config.credentialsFile; file != "" {
			var err error
			if credentials, _, err = tokenfile.Read(file); err != nil {
				return fmt.Errorf("credentials_file: %w", err)
			}
		}
		r.Header.Set("Authorization", c.config.authorization+" "+credentials)
	}
	return nil
}

// redirect decides whether to follow. Credentials go to no other address than that of
// the target, also when it is one that net/http would trust with them.
func (c *client) redirect(r *http.Request, via []*http.Request) error {
	if !c.config.followRedirects {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return &failure{"redirect", fmt.Errorf("the target redirects more than %d times", maxRedirects)}
	}
	r.Header.Del("Referer") // has the parameters
	first := via[0].URL
	for _, one := range append(via[1:len(via):len(via)], r) {
		if one.URL.Scheme == first.Scheme && one.URL.Host == first.Host {
			continue
		}
		if c.config.tls.certFile != "" {
			return &failure{"redirect", errors.New("the target redirects to another address, which is not followed with cert_file")}
		}
		r.Header.Del("Authorization")
	}
	return nil
}

// failure is why a scrape failed, with the reason that metrics have.
type failure struct {
	reason string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// explain returns why a request failed, without its parameters.
func explain(err error, parameters string) error {
	if known, ok := errors.AsType[*failure](err); ok {
		return known
	}
	if outer, ok := errors.AsType[*url.Error](err); ok { // has the parameters
		err = outer.Err
	}
	var remote *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{"timeout", errors.New("the target did not answer in time")}
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert of TLS 1.3, after the handshake
		return &failure{"tls", err}
	}
	// Some errors quote what the target answered, and that may be what it was asked.
	if text := err.Error(); parameters != "" && strings.Contains(text, parameters) {
		err = errors.New(strings.ReplaceAll(text, parameters, "..."))
	}
	return &failure{"connection", err}
}

// shown is the text of an error for people, whatever a target made of it.
func shown(err error) string {
	const most = 300
	text := strings.ToValidUTF8(err.Error(), "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// newHandshakeCounter returns the metric of connections of browsers on which TLS could
// not be agreed. Those of gRPC are counted by [tlsfiles.Files].
func newHandshakeCounter() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "strobe_collectionagent_http_tls_failed_handshakes_total",
		Help: "HTTP connections on which TLS could not be agreed.",
	})
}

// httpLog takes what net/http has to say about connections. It says so in no other
// way, of which a test takes note.
type httpLog struct {
	logger     *slog.Logger
	handshakes prometheus.Counter
}

// Write implements [io.Writer].
func (l *httpLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if strings.HasPrefix(text, "http: TLS handshake error") {
		l.handshakes.Inc()
	}
	l.logger.Debug("HTTP connection", "err", text)
	return len(p), nil
}

func (l *httpLog) standard() *log.Logger { return log.New(l, "", 0) }

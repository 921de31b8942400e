// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// TestFailedHandshakes connects to TLS without TLS, and properly.
func TestFailedHandshakes(t *testing.T) {
	t.Parallel()
	failed := newHandshakeCounter()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = (&httpLog{logger: slog.New(slog.DiscardHandler), handshakes: failed}).standard()
	server.StartTLS()
	defer server.Close()
	for range 2 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "nothing of TLS\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn) // until the server is through with it
		_ = conn.Close()
	}
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	var m dto.Metric
	if err := failed.Write(&m); err != nil || m.GetCounter().GetValue() != 2 {
		t.Errorf("%v failed handshakes, error %v", m.GetCounter().GetValue(), err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	pc "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// httpFault answers a call itself, or leaves it to the server.
type httpFault func(call int, w http.ResponseWriter, r *http.Request) (answered bool)

// ServeHTTP is the server's side of OTLP over HTTP.
func (s *otlpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.httpCalls++
	call, fault := s.httpCalls, s.httpFault
	s.headers = append(s.headers, r.Header.Clone())
	s.mu.Unlock()
	if fault != nil && fault(call, w, r) {
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1development/profiles" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not here", http.StatusNotFound)
		return
	}
	body := io.Reader(r.Body)
	if name := r.Header.Get("Content-Encoding"); name != "" {
		var err error
		if body, err = encoding.GetCompressor(name).Decompress(body); err != nil {
			answerHTTP(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	payload, err := io.ReadAll(body)
	if err != nil {
		answerHTTP(w, http.StatusBadRequest, err.Error())
		return
	}
	req := &pc.ExportProfilesServiceRequest{}
	if err := proto.Unmarshal(payload, req); err != nil {
		s.t.Errorf("no request: %v", err)
	}
	resp, err := s.Export(r.Context(), req)
	if err != nil {
		answerHTTP(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	s.mu.Lock()
	s.payloads = append(s.payloads, payload)
	s.mu.Unlock()
	out, _ := proto.Marshal(resp)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(out)
}

// answerHTTP answers as a server of OTLP does when something is wrong.
func answerHTTP(w http.ResponseWriter, code int, message string) {
	out, _ := proto.Marshal(&rpcstatus.Status{Message: message})
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(code)
	_, _ = w.Write(out)
}

// serveHTTP serves over HTTP until the test ends and returns the URL.
func (s *otlpServer) serveHTTP() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.serveHTTPOn(l, nil)
	return "http://" + l.Addr().String()
}

func (s *otlpServer) serveHTTPOn(l net.Listener, config *tls.Config) *http.Server {
	srv := &http.Server{Handler: s, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if config != nil {
			_ = srv.ServeTLS(l, "", "") // ends with Close
			return
		}
		_ = srv.Serve(l)
	}()
	s.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return srv
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func (s *otlpServer) countHTTP() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.httpCalls
}

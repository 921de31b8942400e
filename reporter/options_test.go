// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestBadSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config *Config
		opts   *Options
		want   string
	}{
		"nil":          {nil, nil, "config is nil"},
		"no address":   {&Config{}, nil, "address"},
		"message size": {&Config{CollAgentAddr: "x", MaxRPCMsgSize: -1}, nil, "message size"},
		"host ID":      {&Config{CollAgentAddr: "x"}, &Options{HostID: "a\nb"}, "host ID"},
		"long host ID": {&Config{CollAgentAddr: "x"}, &Options{HostID: strings.Repeat("a", 129)}, "host ID"},
		"host name":    {&Config{CollAgentAddr: "x"}, &Options{HostName: strings.Repeat("a", 256)}, "host name"},
		"stop timeout": {&Config{CollAgentAddr: "x"}, &Options{StopTimeout: -time.Second}, "stop timeout"},
		"jitter":       {&Config{CollAgentAddr: "x"}, &Options{Jitter: 1.5}, "jitter"},
		"queue bytes":  {&Config{CollAgentAddr: "x"}, &Options{MaxQueueBytes: 10}, "queue limit"},
		"CA file":      {&Config{CollAgentAddr: "x"}, &Options{CAFile: "/does/not/exist"}, "-tls-ca: /does/not/exist: no such file"},
		"key file":     {&Config{CollAgentAddr: "x"}, &Options{KeyFile: "/does/not/exist"}, "-tls-cert and -tls-key go together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := StartWithOptions(context.Background(), tc.config, tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v", err)
			}
			if _, err := StartOTLPWithOptions(context.Background(), tc.config, tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("OTLP: error %v", err)
			}
		})
	}
}

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true,
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var der []byte
	der, a.key = a.sign(template, template, nil)
	a.cert, _ = x509.ParseCertificate(der)
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	a.write(a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) write(path, kind string, der []byte) {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue returns the files of a new certificate and its key.
func (a *authority) issue() (certFile, keyFile string) {
	der, key := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, a.cert, a.key)
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.write(certFile, "CERTIFICATE", der)
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(keyFile, "EC PRIVATE KEY", keyDER)
	return certFile, keyFile
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	serverCert, serverKey := ca.issue()
	clientCert, clientKey := ca.issue()
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for name, tc := range map[string]struct {
		maxVersion uint16
		withCert   bool
		works      bool
	}{
		"mutual TLS 1.3":       {tls.VersionTLS13, true, true},
		"TLS 1.2 is too old":   {tls.VersionTLS12, true, false},
		"no client credential": {tls.VersionTLS13, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			addr := s.serve(grpc.Creds(credentials.NewTLS(&tls.Config{
				Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
				MaxVersion: tc.maxVersion,
			})))
			r := startTest(t, addr, func(c *Config, o *Options) {
				c.DisableTLS = false
				times := fastTimes()
				times.connect = 300 * time.Millisecond
				c.Times = times
				o.CAFile, o.StopTimeout = ca.file, 100*time.Millisecond
				if tc.withCert {
					o.CertFile, o.KeyFile = clientCert, clientKey
				}
			})
			r.ReportSample(sampleOf(nativeTrace(1, 2), 0))
			eventually(t, "an attempt ends", func() bool { return r.Status().State != StateStarting })
			if tc.works {
				eventually(t, "the sample is stored", func() bool { return s.stored() == 1 })
			} else if st := r.Status(); st.Connected || st.Ledger.Queued != 1 {
				t.Errorf("status %+v", st)
			}
		})
	}
}

func TestHeadersAndRefusal(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	addr := s.serve(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if md, _ := metadata.FromIncomingContext(ctx); len(md["authorization"]) == 0 || md["authorization"][0] != "Bearer x" {
			return nil, status.Error(codes.Unauthenticated, "no token")
		}
		return next(ctx, req)
	}))
	with := startTest(t, addr, func(_ *Config, o *Options) { o.Headers = map[string]string{"authorization": "Bearer x"} })
	with.ReportSample(sampleOf(nativeTrace(1, 2), 0))
	eventually(t, "the sample is stored", func() bool { return s.stored() == 1 })
	if err := with.ReportHostMetadataBlocking(context.Background(), nil, 0, 0); err != nil {
		t.Error(err)
	}
	without := startTest(t, addr, func(_ *Config, o *Options) { o.StopTimeout = 100 * time.Millisecond })
	without.ReportSample(sampleOf(nativeTrace(1, 2), 0))
	eventually(t, "it is refused", func() bool { return without.Status().State == StateRefused })
	if st := without.Status(); !strings.Contains(st.LastError, "no token") || st.Ledger.Queued != 1 {
		t.Errorf("status %+v", st)
	}
}

// Byte counts are those of the messages that the server saw.
func TestByteCounts(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	var in int64
	s.fault = func(_ string, req proto.Message) error {
		in += int64(proto.Size(req))
		return nil
	}
	r := startTest(t, s.serve(), nil)
	for i := range 200 {
		r.ReportSample(sampleOf(nativeTrace(uint64(i%5), 20), i))
	}
	r.Stop()
	m := r.GetMetrics()
	if m.RPCBytesOutCount != in {
		t.Errorf("RPC bytes out %d, the server saw %d", m.RPCBytesOutCount, in)
	}
	if m.WireBytesOutCount <= 0 || m.WireBytesOutCount >= m.RPCBytesOutCount || m.RPCBytesInCount <= 0 || m.WireBytesInCount <= 0 {
		t.Errorf("bytes %+v", m)
	}
	if m = r.GetMetrics(); m.RPCBytesOutCount != 0 || m.WireBytesOutCount != 0 || m.RPCBytesInCount != 0 || m.WireBytesInCount != 0 {
		t.Errorf("counts are not reset by reading: %+v", m)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err     error
		want    verdict
		wait    time.Duration
		unclear bool
	}{
		{nil, accepted, 0, false},
		{status.Error(codes.Unavailable, ""), outage, 0, true},
		{status.Error(codes.DeadlineExceeded, ""), outage, 0, true},
		{withRetryInfo(codes.Unavailable, time.Second), overloaded, time.Second, true},
		{withRetryInfo(codes.ResourceExhausted, time.Hour), overloaded, maxRetryInfo, false},
		{withRetryInfo(codes.ResourceExhausted, -time.Hour), overloaded, 0, false},
		{status.Error(codes.ResourceExhausted, ""), oversized, 0, false},
		{status.Error(codes.InvalidArgument, ""), invalid, 0, false},
		{status.Error(codes.Unauthenticated, ""), refused, 0, false},
		{status.Error(codes.PermissionDenied, ""), refused, 0, false},
		{status.Error(codes.FailedPrecondition, ""), refused, 0, false},
		{status.Error(codes.Unimplemented, ""), refused, 0, false},
		{status.Error(codes.Internal, ""), faulty, 0, true},
	} {
		if a := classify(tc.err); a.verdict != tc.want || a.wait != tc.wait || a.unclear != tc.unclear {
			t.Errorf("%v: %+v", tc.err, a)
		}
	}
}

func TestFullJitter(t *testing.T) {
	t.Parallel()
	for attempt := range 100 {
		for range 50 {
			if d := fullJitter(time.Second, time.Minute, attempt); d < time.Millisecond || d > time.Minute ||
				(attempt == 2 && d > 2*time.Second) {
				t.Fatalf("attempt %d: %v", attempt, d)
			}
		}
	}
}

// Random use of the queue keeps the ledger balanced and the limits.
func TestSampleQueueBalance(t *testing.T) {
	t.Parallel()
	q := newSampleQueue(50, 1<<20, func() {})
	w := newWorkload(4, 3, 30)
	for i := range 20_000 {
		s := w.sample()
		s.Count = uint32(w.rnd.IntN(3))
		if w.rnd.IntN(500) == 0 {
			s.Process = nil
		}
		q.add(&s)
		if len(q.rows) > 50 {
			t.Fatalf("%d rows", len(q.rows))
		}
		switch w.rnd.IntN(200) {
		case 0:
			rows := q.lease(1 + w.rnd.IntN(60))
			if len(rows) > 3 {
				q.giveBack(rows[3:])
				rows = rows[:3]
			}
			rows = sortRows(rows)
			var weight uint64
			for j := range rows {
				weight += uint64(rows[j].Count)
			}
			q.settle(weight, []string{"", reasonRejected}[w.rnd.IntN(2)])
			q.release(rows)
		case 1:
			l := q.ledger()
			sum := l.Stored + l.Queued
			for _, n := range l.Dropped {
				sum += n
			}
			if sum != l.Captured {
				t.Fatalf("after %d: %+v", i, l)
			}
		}
	}
	if q.status().Summed == 0 || q.ledger().Dropped[reasonOverflow] == 0 {
		t.Errorf("nothing overflowed: %+v", q.status())
	}
	var zero libpf.Sample
	q.add(&zero)
	if q.ledger().Dropped[reasonInvalid] == 0 {
		t.Error("an empty sample was taken")
	}
}

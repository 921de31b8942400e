// SPDX-License-Identifier: Apache-2.0

// Package zstdgrpc registers the gRPC compressor "zstd". Import it on both
// sides; a client selects it with grpc.UseCompressor(zstdgrpc.Name), and a
// server then answers in kind.
//
// What it decompresses is foreign: a frame of a few bytes may unfold to
// gigabytes. Three bounds hold: gRPC's own MaxRecvMsgSize (the smallest, and the
// one that answers ResourceExhausted), [MaxDecompressedBytes] for receivers that
// set no limit, and a window of at most 8 MiB, which bounds what the decoder
// itself holds.
package zstdgrpc

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// Name is the name of the compressor on the wire.
const Name = "zstd"

// MaxDecompressedBytes is the largest message that is decompressed, whatever the
// receiver's own limit: the size that OTLP recommends receivers to accept.
const MaxDecompressedBytes = 64 << 20

const (
	// maxDecoderWindow is what RFC 8878 asks every decoder to support.
	maxDecoderWindow = 8 << 20
	// encoderWindow is small next to the default because requests are: it
	// saves several MiB in every pooled encoder.
	encoderWindow = 1 << 20
)

// ErrTooLarge is returned by readers of messages above [MaxDecompressedBytes].
var ErrTooLarge = fmt.Errorf("decompressed message is larger than %d bytes", MaxDecompressedBytes)

var errClosed = errors.New("zstd stream is closed")

func init() {
	encoding.RegisterCompressor(newCompressor(MaxDecompressedBytes))
}

// compressor is safe for concurrent use. Encoders and decoders run in the
// caller's goroutine and own none, so the pools may forget them.
type compressor struct {
	encoders sync.Pool // of *zstd.Encoder
	decoders sync.Pool // of *zstd.Decoder
	maxBytes int64
}

func newCompressor(maxBytes int64) *compressor { return &compressor{maxBytes: maxBytes} }

// Name implements encoding.Compressor.
func (c *compressor) Name() string { return Name }

// Compress implements encoding.Compressor.
func (c *compressor) Compress(w io.Writer) (io.WriteCloser, error) {
	enc, ok := c.encoders.Get().(*zstd.Encoder)
	if !ok {
		var err error
		enc, err = zstd.NewWriter(w,
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(encoderWindow),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("create zstd encoder: %w", err)
		}
	} else {
		enc.Reset(w)
	}
	return &writer{enc: enc, pool: &c.encoders}, nil
}

// writer returns its encoder to the pool when closed.
type writer struct {
	enc  *zstd.Encoder
	pool *sync.Pool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.enc == nil {
		return 0, errClosed
	}
	return w.enc.Write(p)
}

func (w *writer) Close() error {
	if w.enc == nil {
		return nil
	}
	enc := w.enc
	w.enc = nil
	err := enc.Close()
	enc.Reset(nil) // lets go of the destination
	w.pool.Put(enc)
	return err
}

// Decompress implements encoding.Compressor. The reader is an io.Closer, which
// gRPC closes.
func (c *compressor) Decompress(r io.Reader) (io.Reader, error) {
	dec, ok := c.decoders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		dec, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(c.maxBytes)), //nolint:gosec // a positive constant
			zstd.WithDecoderMaxWindow(maxDecoderWindow))
		if err != nil {
			return nil, fmt.Errorf("create zstd decoder: %w", err)
		}
	}
	if err := dec.Reset(r); err != nil {
		_ = dec.Reset(nil)
		c.decoders.Put(dec)
		return nil, fmt.Errorf("read zstd header: %w", err)
	}
	return &reader{dec: dec, pool: &c.decoders, left: c.maxBytes}, nil
}

// reader returns its decoder to the pool when closed.
type reader struct {
	dec  *zstd.Decoder
	pool *sync.Pool
	left int64 // bytes that may still be read
}

func (r *reader) Read(p []byte) (int, error) {
	if r.dec == nil {
		return 0, errClosed
	}
	// One byte beyond the limit tells a message of exactly the limit from a larger one.
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1]
	}
	n, err := r.dec.Read(p)
	if int64(n) > r.left {
		n = int(r.left)
		r.left = 0
		return n, ErrTooLarge
	}
	r.left -= int64(n)
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.dec == nil {
		return nil
	}
	dec := r.dec
	r.dec = nil
	err := dec.Reset(nil) // lets go of the source
	r.pool.Put(dec)
	return err
}

// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Limits bound what [Decode] takes. The zero value is for messages as receivers take them.
type Limits struct {
	// MaxBytes is how large a message may be when it is decompressed; 0: [DefaultMaxBytes].
	MaxBytes int64
	// MaxMemory is about how much memory its structures may take; 0: [DefaultMaxMemory].
	MaxMemory int64
}

// Defaults of [Limits].
const (
	// DefaultMaxBytes is what OTLP recommends receivers to take.
	DefaultMaxBytes = 64 << 20
	// DefaultMaxMemory is far above what messages of that size with contents take.
	DefaultMaxMemory = 2 << 30
)

// ErrTooLarge is that a message is above a limit.
var ErrTooLarge = errors.New("too large")

// Decode decodes a message that may be anything: protocol buffer or JSON, plain or
// compressed with gzip or zstd. A ProfilesData has the layout of the request that it is
// read as. JSON has IDs in hexadecimal, as OTLP says, and may have fields that are not known.
func Decode(data []byte, l Limits) (*collector.ExportProfilesServiceRequest, error) {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxMemory <= 0 {
		l.MaxMemory = DefaultMaxMemory
	}
	data, err := decompressed(data, l.MaxBytes)
	if err != nil {
		return nil, err
	}
	req := &collector.ExportProfilesServiceRequest{}
	if isJSON(data) {
		if memory := int64(len(data)) + messageBytes*int64(bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{','})); memory > l.MaxMemory {
			return nil, fmt.Errorf("%w: its structures would take about %d bytes of memory", ErrTooLarge, memory)
		}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, req); err != nil {
			return nil, fmt.Errorf("decode JSON: %s", plain(err))
		}
		hexIDs(req)
		return req, nil
	}
	if memory := memoryOf(data, req.ProtoReflect().Descriptor(), 0); memory > l.MaxMemory {
		return nil, fmt.Errorf("%w: its structures would take about %d bytes of memory", ErrTooLarge, memory)
	}
	if err := proto.Unmarshal(data, req); err != nil {
		return nil, fmt.Errorf("decode protocol buffer: %s", plain(err))
	}
	return req, nil
}

// plain returns the text of an error of the decoder, which has other spaces in it from
// build to build so that nobody relies on it.
func plain(err error) string { return strings.ReplaceAll(err.Error(), "\u00a0", " ") }

// CheckBytes decodes a message and checks it. That it cannot be decoded is a finding.
func CheckBytes(data []byte, l Limits, o Options) *Report {
	req, err := Decode(data, l)
	if err == nil {
		return Check(req, o)
	}
	c := newChecker(nil, o)
	switch {
	case errors.Is(err, ErrTooLarge):
		c.find(ruleSize, "", "%v", err)
	case strings.Contains(err.Error(), "invalid UTF-8"): // the decoder has no other way to tell
		c.find(ruleUTF8, "", "%v", err)
	default:
		c.find(ruleDecode, "", "%v", err)
	}
	return c.report
}

// decompressed undoes gzip and zstd, which begin with what no message begins with.
func decompressed(data []byte, limit int64) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("decompress gzip: %w", err)
		}
		r = zr
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		const window = 8 << 20 // what RFC 8878 asks every decoder to support
		zr, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, fmt.Errorf("decompress zstd: %w", err)
		}
		defer zr.Close()
		r = zr
	default:
		r = bytes.NewReader(data)
	}
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if int64(len(out)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return out, nil
}

// isJSON tells the forms apart. A protocol buffer may begin with a line feed, which is
// the tag of resource_profiles, and a length that is an opening brace.
func isJSON(data []byte) bool {
	text := bytes.TrimLeft(data, " \t\r\n")
	return bytes.HasPrefix(text, []byte{'{'}) && (len(text) == len(data) || json.Valid(text))
}

// messageBytes is about how much a message takes beside its contents.
const messageBytes = 200

// memoryOf is about how much memory the structures of a message take.
func memoryOf(data []byte, d protoreflect.MessageDescriptor, depth int) int64 {
	memory := int64(messageBytes)
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return memory // the decoder will say so
		}
		data = data[n:]
		n = protowire.ConsumeFieldValue(number, typ, data)
		if n < 0 {
			return memory
		}
		value := data[:n]
		data = data[n:]
		const wordBytes = 8
		f := d.Fields().ByNumber(number)
		switch {
		case f == nil || typ != protowire.BytesType:
			memory += wordBytes
		case f.Message() != nil && depth <= protowire.DefaultRecursionLimit:
			value, _ = protowire.ConsumeBytes(value)
			memory += wordBytes + memoryOf(value, f.Message(), depth+1)
		case f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind:
			const headerBytes = 24
			memory += headerBytes + int64(n)
		default: // packed numbers
			memory += int64(n) * wordBytes
		}
	}
	return memory
}

// hexIDs sets right the IDs of a message of JSON: OTLP has them in hexadecimal, where the
// decoder expects base64.
func hexIDs(req *collector.ExportProfilesServiceRequest) {
	for _, l := range req.GetDictionary().GetLinkTable() {
		l.TraceId, l.SpanId = fromHex(l.GetTraceId()), fromHex(l.GetSpanId())
	}
	for _, rp := range req.GetResourceProfiles() {
		for _, sp := range rp.GetScopeProfiles() {
			for _, p := range sp.GetProfiles() {
				p.ProfileId = fromHex(p.GetProfileId())
			}
		}
	}
}

// fromHex decodes hexadecimal digits that were taken for base64, which all of them are.
func fromHex(wrong []byte) []byte {
	if right, err := hex.DecodeString(base64.RawStdEncoding.EncodeToString(wrong)); err == nil {
		return right
	}
	return wrong
}

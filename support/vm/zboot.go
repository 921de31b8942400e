// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// bootable unpacks a kernel in place that unpacks itself only under EFI, as those for
// arm64 do: qemu of Debian 12 cannot (drivers/firmware/efi/libstub/zboot-header.S).
func bootable(image string) error {
	b, err := os.ReadFile(image) //nolint:gosec // the cache
	if err != nil {
		return err
	}
	if len(b) < 64 || !bytes.Equal(b[:2], []byte("MZ")) || !bytes.Equal(b[4:8], []byte("zimg")) {
		return nil
	}
	from, size := uint64(binary.LittleEndian.Uint32(b[8:])), uint64(binary.LittleEndian.Uint32(b[12:]))
	if from+size > uint64(len(b)) {
		return fmt.Errorf("kernel %s: its payload is beyond its end", image)
	}
	kind := string(bytes.TrimRight(b[24:56], "\x00"))
	plain, err := decompress(kind, b[from:from+size])
	if err != nil {
		return fmt.Errorf("kernel %s: %w", image, err)
	}
	return os.WriteFile(image, plain, 0o644) //nolint:gosec // no secret
}

// decompress returns what was compressed, for which [decompressor] must have the kind.
func decompress(kind string, packed []byte) ([]byte, error) {
	r, err := decompressor(kind, bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return plain, nil
}

// decompressor reads what was compressed by gzip, xz or zstd.
func decompressor(kind string, r io.Reader) (io.Reader, error) {
	switch kind {
	case "gzip", "gz":
		return gzip.NewReader(r)
	case "xzkern", "xz":
		return xz.NewReader(r)
	case "zstd22", "zstd", "zst":
		return zstd.NewReader(r)
	}
	return nil, fmt.Errorf("compression %q is not known", kind)
}

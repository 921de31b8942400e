// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// bundle is a single-file .NET application: an ELF file with the application's
// files behind it, and a list of them. The host finds the list by an offset that
// stands before a mark in its data, the SHA-256 of ".net core bundle\n".
type bundle struct {
	image   []byte
	entries map[string]int // name → place of offset, size and compressed size in the list
}

var errBundle = errors.New("not a single-file application of the known form")

func readBundle(path string) (b *bundle, err error) {
	image, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // an index that is out of range
			b, err = nil, fmt.Errorf("%s: %w", path, errBundle)
		}
	}()
	mark := sha256.Sum256([]byte(".net core bundle\n"))
	i := bytes.Index(image, mark[:])
	if i < 8 {
		return nil, fmt.Errorf("%s: %w", path, errBundle)
	}
	le := binary.LittleEndian
	at := int(le.Uint64(image[i-8:])) //nolint:gosec // recovered above
	text := func() string {
		n, shift := 0, 0
		for {
			c := image[at]
			at++
			n |= int(c&127) << shift
			shift += 7
			if c < 128 {
				break
			}
		}
		at += n
		return string(image[at-n : at])
	}
	count := le.Uint32(image[at+8:])
	at += 12
	text()   // an identity
	at += 40 // where two of the files are, and flags
	b = &bundle{image: image, entries: map[string]int{}}
	for range count {
		entry := at
		at += 25
		b.entries[text()] = entry
	}
	return b, nil
}

// file returns a file's content.
func (b *bundle) file(name string) []byte {
	at, ok := b.entries[name]
	if !ok {
		return nil
	}
	off, size := binary.LittleEndian.Uint64(b.image[at:]), binary.LittleEndian.Uint64(b.image[at+8:])
	return b.image[off : off+size]
}

// replace gives a file new content, which is put at the end.
func (b *bundle) replace(name string, content []byte) error {
	at, ok := b.entries[name]
	if !ok {
		return fmt.Errorf("%w: no %s", errBundle, name)
	}
	b.image = append(b.image, make([]byte, -len(b.image)&4095)...)
	for i, v := range []int{len(b.image), len(content), 0} {
		binary.LittleEndian.PutUint64(b.image[at+8*i:], uint64(v)) //nolint:gosec // not negative
	}
	b.image = append(b.image, content...)
	return nil
}

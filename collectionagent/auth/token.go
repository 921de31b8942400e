// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The text of a token is strobe_ID_SECRET. The prefix lets scanners find tokens
// that were published by mistake.
const (
	tokenPrefix = "strobe_"
	idLength    = 12
	idAlphabet  = "abcdefghijklmnopqrstuvwxyz0123456789"
	// 43 characters of 62 are 256 bits. A secret that nobody can guess needs no
	// slow hash, which would only make requests slow.
	secretLength   = 43
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// Digest is the SHA-256 of a secret.
type Digest [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("hash has %d characters, expected %d", len(text), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return errors.New("hash is not hexadecimal")
	}
	return nil
}

// IsZero reports whether there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// randomText returns random characters of an alphabet of at most 64.
func randomText(length int, alphabet string) string {
	out := make([]byte, 0, length)
	for b := make([]byte, 2*length); len(out) < length; {
		_, _ = rand.Read(b) // never fails
		for _, v := range b {
			// Those beyond the alphabet are left out, so that all are equally likely.
			if i := int(v & 63); i < len(alphabet) && len(out) < length {
				out = append(out, alphabet[i])
			}
		}
	}
	return string(out)
}

// newSecret returns a secret and its digest.
func newSecret() (string, Digest) {
	s := randomText(secretLength, secretAlphabet)
	return s, sha256.Sum256([]byte(s))
}

// tokenText returns the text of a token.
func tokenText(id, secret string) string { return tokenPrefix + id + "_" + secret }

// parseToken takes the text of a token apart. The text may be anything.
func parseToken(text string) (id string, digest Digest, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return "", Digest{}, false
	}
	id, secret, ok := strings.Cut(rest, "_")
	if !ok || !validID(id) || len(secret) != secretLength || !consistsOf(secret, secretAlphabet) {
		return "", Digest{}, false
	}
	return id, sha256.Sum256([]byte(secret)), true
}

func validID(id string) bool { return len(id) == idLength && consistsOf(id, idAlphabet) }

// consistsOf reports whether all bytes of a text are in an alphabet of ASCII.
func consistsOf(text, alphabet string) bool {
	for i := range len(text) {
		if strings.IndexByte(alphabet, text[i]) < 0 {
			return false
		}
	}
	return true
}

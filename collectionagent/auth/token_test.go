// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"strings"
	"testing"
)

func TestTokenText(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		secret, digest := newSecret()
		if len(secret) != secretLength || !consistsOf(secret, secretAlphabet) || seen[secret] || digest != sha256.Sum256([]byte(secret)) {
			t.Fatalf("bad secret of %d characters", len(secret))
		}
		seen[secret] = true
		id := randomText(idLength, idAlphabet)
		gotID, gotDigest, ok := parseToken(tokenText(id, secret))
		if !ok || gotID != id || gotDigest != digest {
			t.Fatalf("a token is not read back: %q %v", gotID, ok)
		}
	}
	good := tokenText("abcdefghij12", strings.Repeat("a", secretLength))
	for _, text := range []string{
		"", "strobe_", "strobe__", good[1:], good + "a", good[:len(good)-1], good + "\n", " " + good, strings.ToUpper(good),
		strings.Replace(good, "abc", "ABC", 1), strings.Replace(good, "abc", "ab", 1), good[:len(good)-1] + "-", good[:len(good)-1] + "_",
		"strobe_" + strings.Repeat("a", 1<<20), good[:len(good)-2] + "é",
	} {
		if _, _, ok := parseToken(text); ok {
			t.Errorf("%.80q is read as a token", text)
		}
	}
}

// TestRandomTextIsEven counts characters: one that comes twice as often would
// make secrets easier to guess.
func TestRandomTextIsEven(t *testing.T) {
	t.Parallel()
	counts := map[rune]int{}
	const n = 62 * 4000
	for _, r := range randomText(n, secretAlphabet) {
		counts[r]++
	}
	for _, r := range secretAlphabet {
		if c := counts[r]; c < 3500 || c > 4500 { // 4000 ± 8 standard deviations
			t.Errorf("%c: %d times in %d", r, c, n)
		}
	}
}

func TestParseRoles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Roles{
		"ingest": RoleIngest, "ingest,query": RoleIngest | RoleQuery, " query , admin": RoleQuery | RoleAdmin,
		"": 0, "ingest,": 0, "root": 0, "query,query": 0, "Ingest": 0,
	} {
		got, err := ParseRoles(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	if RoleQuery.Has(RoleIngest) || !RoleAdmin.Has(RoleIngest) || Roles(0).Has(RoleQuery) {
		t.Error("a role may what it must not, or the other way round")
	}
}

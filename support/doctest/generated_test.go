// SPDX-License-Identifier: Apache-2.0

//go:build unix

package doctest

import (
	"errors"
	"testing"
)

func TestRegion(t *testing.T) {
	t.Parallel()
	src := "a\n<!-- generated x: how -->\nold\n<!-- end x -->\nb\n"
	begin, end, err := region(src, "x")
	if err != nil || src[begin:end] != "old\n" {
		t.Errorf("got %q, %v", src[begin:end], err)
	}
	for _, src := range []string{"", "<!-- generated x: how -->\n", "<!-- end x -->\n<!-- generated x: how -->\n", src + src} {
		if _, _, err := region(src, "x"); err == nil {
			t.Errorf("no error for %q", src)
		}
	}
}

func TestFlagTable(t *testing.T) {
	t.Parallel()
	got := FlagTable([]Flag{
		{Name: "b", Argument: "N", Default: "1", Help: "a | b\nof <x> *"},
		{Name: "a", Alias: "v", Help: "switch", Limits: "1 to 2"},
	})
	want := "| flag | default | may be | what |\n| --- | --- | --- | --- |\n| `-v`, `-a` |  | 1 to 2 | switch |\n| `-b N` | `1` |  | a \\| b of &lt;x> \\* |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	got := Limits("n", func(v string) error {
		if v == "1000000000" {
			return errors.New("-m: must be 3\n-n: is 7, must be from 1 to 5, or off\nmore")
		}
		return nil
	})
	if got != "1 to 5, or off" {
		t.Errorf("got %q", got)
	}
	if got := Limits("n", func(string) error { return errors.New("no") }); got != "" {
		t.Errorf("got %q", got)
	}
}

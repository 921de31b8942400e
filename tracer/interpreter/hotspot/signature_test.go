// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"strings"
	"testing"
)

func TestClassNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"java/lang/Thread":                        "java.lang.Thread",
		"Mill":                                    "Mill",
		"Mill$$Lambda$14/0x0000000800c031f8":      "Mill$$Lambda$14",
		"a/b/Mill$$Lambda/0x00007f1c2c001000":     "a.b.Mill$$Lambda",
		"java/lang/invoke/LambdaForm$MH+0x80c031": "java.lang.invoke.LambdaForm$MH",
		"a/0x/B":     "a.0x.B",
		"a/0xcafe/B": "a.0xcafe.B",
		"":           "",
	} {
		if got := className(in); got != want {
			t.Errorf("%q is named %q, want %q", in, got, want)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"()V":                                  "()",
		"(ILjava/lang/String;)V":               "(int, String)",
		"([[J[Ljava/util/Map$Entry;Z)I":        "(long[][], java.util.Map$Entry[], boolean)",
		"(BCDFIJSZ)V":                          "(byte, char, double, float, int, long, short, boolean)",
		"(Ljava/lang/invoke/MethodHandle;)V":   "(java.lang.invoke.MethodHandle)",
		"":                                     "",
		"I":                                    "",
		"(":                                    "",
		"(I":                                   "",
		"(Lnever":                              "",
		"([":                                   "",
		"(X)V":                                 "",
		"(" + strings.Repeat("[", 256) + "I)V": "",
	} {
		if got := parameters(in); got != want {
			t.Errorf("parameters of %q are %q, want %q", in, got, want)
		}
	}
}

func FuzzSignature(f *testing.F) {
	f.Add("([[J[Ljava/util/Map$Entry;Z)I")
	f.Add("a/b$$Lambda$1/0x0000000800c031f8")
	f.Fuzz(func(t *testing.T, s string) {
		if got := parameters(s); got != "" && (got[0] != '(' || got[len(got)-1] != ')') {
			t.Errorf("parameters of %q are %q", s, got)
		}
		if got := className(s); len(got) > len(s) {
			t.Errorf("%q is named %q", s, got)
		}
	})
}

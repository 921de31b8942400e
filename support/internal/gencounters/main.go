// SPDX-License-Identifier: Apache-2.0

// Command gencounters turns the table of counters in the eBPF sources into Go,
// so that a counter has one name and one meaning on both sides.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"regexp"
	"strings"
)

var entry = regexp.MustCompile(`COUNTER\((\w+), ("[^"]*"), ("[^"]*")\)`)

func main() {
	in := flag.String("in", "", "header with the table")
	out := flag.String("out", "", "Go file to write")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*in, *out); err != nil {
		log.Fatal("gencounters: ", err)
	}
}

func run(in, out string) error {
	src, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	entries := entry.FindAllStringSubmatch(string(src), -1)
	if len(entries) == 0 {
		return fmt.Errorf("%s has no COUNTER entries", in)
	}
	var b bytes.Buffer
	b.WriteString("// SPDX-License-Identifier: Apache-2.0\n\n// Code generated from ebpf/counters.h. DO NOT EDIT.\n\npackage support\n\n")
	b.WriteString("// Counters of the kernel side, by index.\nconst (\n")
	for i, e := range entries {
		fmt.Fprintf(&b, "\tCounter%s = %d\n", camel(e[1]), i)
	}
	fmt.Fprintf(&b, ")\n\n// Counter describes a counter of the kernel side.\ntype Counter struct {\n\t// Reason is its label in metrics, Help says what it counts.\n\tReason, Help string\n}\n\n")
	b.WriteString("// Counters lists the counters of the kernel side by index.\nvar Counters = [...]Counter{\n")
	for _, e := range entries {
		fmt.Fprintf(&b, "\t{%s, %s},\n", e[2], e[3])
	}
	b.WriteString("}\n")
	src, err = format.Source(b.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(out, src, 0o644) //nolint:gosec // source code
}

// camel turns SAMPLES_SENT_FULL into SamplesSentFull.
func camel(s string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.ToLower(s), "_") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

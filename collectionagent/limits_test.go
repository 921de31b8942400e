// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// TestLimitsAreDocumented compares the flags and defaults with docs/limits.md.
func TestLimitsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `-([a-z-]+)` \\| (\\S+) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	c := Default()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.Limits.register(fs)
	all := flags(&c, &actions{}, io.Discard)
	want := map[string]string{
		"max-concurrent":    all.Lookup("max-concurrent").DefValue,
		"max-request-bytes": all.Lookup("max-request-bytes").DefValue,
	}
	fs.VisitAll(func(f *flag.Flag) { want[f.Name] = f.DefValue })
	if d := cmp.Diff(want, documented); d != "" {
		t.Errorf("docs/limits.md differs from the flags (-flags +docs):\n%s", d)
	}
}

// TestLimitsAgree checks that the defaults here are those of the packages.
func TestLimitsAgree(t *testing.T) {
	l := defaultLimits()
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	told := func(config ingest.Config) *pb.GetServerInfoResponse {
		t.Helper()
		config.Store = memstore.New()
		s, err := ingest.New(config)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.GetServerInfo(t.Context(), &pb.GetServerInfoRequest{ProtocolVersion: 1})
		if err != nil {
			t.Fatal(err)
		}
		info.ServerTime, info.Epoch = 0, nil
		return info
	}
	if d := cmp.Diff(told(ingest.Config{}), told(ingest.Config{Limits: l.single()}), protocmp.Transform()); d != "" {
		t.Errorf("what agents are told differs (-package +here):\n%s", d)
	}
	if l.rates().Host.Samples == 0 {
		t.Error("a default is missing")
	}
	c.Limits = Limits{}
	c.Limits.ProjectHosts = -1
	if err := c.Validate(); err == nil {
		t.Error("limits of nothing are accepted")
	}
}

// SPDX-License-Identifier: Apache-2.0

// Command pdata writes profiles in every form in which the OpenTelemetry Collector's
// own data model does. Versions of it differ in what they write, so there is a file of
// modules for each. None of it is part of the program:
//
//	for v in v0.147.0 v0.159.0 v0.162.0; do go run -modfile=$v.mod . $v; done
package main

import (
	"log"
	"os"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: pdata VERSION")
	}
	version := os.Args[1]
	for form, marshal := range map[string]func() ([]byte, error){
		"data.bin":     func() ([]byte, error) { return (&pprofile.ProtoMarshaler{}).MarshalProfiles(data()) },
		"request.bin":  func() ([]byte, error) { return pprofileotlp.NewExportRequestFromProfiles(data()).MarshalProto() },
		"data.json":    func() ([]byte, error) { return (&pprofile.JSONMarshaler{}).MarshalProfiles(data()) },
		"request.json": func() ([]byte, error) { return pprofileotlp.NewExportRequestFromProfiles(data()).MarshalJSON() },
	} {
		b, err := marshal()
		if err != nil {
			log.Fatal(form, ": ", err)
		}
		if err := os.WriteFile(version+"-"+form, b, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// now is the time of the profiles, that of the server in tests.
const now = 1_700_000_000_000_000_000

// builder fills a dictionary.
type builder struct{ pprofile.ProfilesDictionary }

func (b builder) text(s string) int32 {
	table := b.StringTable()
	for i := range table.Len() {
		if table.At(i) == s {
			return int32(i)
		}
	}
	table.Append(s)
	return int32(table.Len() - 1)
}

// attribute appends an attribute; set gives it a value.
func (b builder) attribute(key string, set func(pcommon.Value)) int32 {
	a := b.AttributeTable().AppendEmpty()
	a.SetKeyStrindex(b.text(key))
	set(a.Value())
	return int32(b.AttributeTable().Len() - 1)
}

func text(s string) func(pcommon.Value)  { return func(v pcommon.Value) { v.SetStr(s) } }
func number(n int64) func(pcommon.Value) { return func(v pcommon.Value) { v.SetInt(n) } }

func (b builder) function(name, file string) int32 {
	f := b.FunctionTable().AppendEmpty()
	f.SetNameStrindex(b.text(name))
	f.SetFilenameStrindex(b.text(file))
	return int32(b.FunctionTable().Len() - 1)
}

// location appends a location with lines of functions.
func (b builder) location(mapping int32, address uint64, kind int32, lines ...[2]int64) int32 {
	l := b.LocationTable().AppendEmpty()
	l.SetMappingIndex(mapping)
	l.SetAddress(address)
	l.AttributeIndices().Append(kind)
	for _, line := range lines {
		x := l.Lines().AppendEmpty()
		x.SetFunctionIndex(int32(line[0]))
		x.SetLine(line[1])
	}
	return int32(b.LocationTable().Len() - 1)
}

func (b builder) stack(locations ...int32) int32 {
	b.StackTable().AppendEmpty().LocationIndices().Append(locations...)
	return int32(b.StackTable().Len() - 1)
}

// profile appends a profile of one sample type.
func (b builder) profile(s pprofile.ScopeProfiles, kind, unit string, period int64) pprofile.Profile {
	p := s.Profiles().AppendEmpty()
	p.SampleType().SetTypeStrindex(b.text(kind))
	p.SampleType().SetUnitStrindex(b.text(unit))
	p.SetTime(now)
	p.SetDurationNano(5_000_000_000)
	if period > 0 {
		p.PeriodType().SetTypeStrindex(b.text("cpu"))
		p.PeriodType().SetUnitStrindex(b.text("nanoseconds"))
		p.SetPeriod(period)
	}
	return p
}

// data is what a profiler of hosts sees: a service with a span, native frames without
// names, blocked threads, and a process that nobody gave a name.
func data() pprofile.Profiles {
	all := pprofile.NewProfiles()
	b := builder{all.Dictionary()}
	b.StringTable().Append("")
	b.AttributeTable().AppendEmpty()
	b.MappingTable().AppendEmpty()
	b.FunctionTable().AppendEmpty()
	b.LocationTable().AppendEmpty()
	b.LinkTable().AppendEmpty()
	b.StackTable().AppendEmpty()

	native, golang := b.attribute("profile.frame.type", text("native")), b.attribute("profile.frame.type", text("go"))
	file := b.MappingTable().AppendEmpty()
	file.SetFilenameStrindex(b.text("libplain.so"))
	file.AttributeIndices().Append(
		b.attribute("process.executable.build_id.gnu", text("0123456789abcdef0123456789abcdef01234567")),
		b.attribute("process.executable.build_id.htlhash", text("00112233445566778899aabbccddeeff")),
	)
	program := b.MappingTable().AppendEmpty()
	program.SetFilenameStrindex(b.text("cart"))
	program.AttributeIndices().Append(b.attribute("process.executable.build_id.htlhash", text("ffeeddccbbaa99887766554433221100")))

	unnamed := b.location(1, 0x1a2b, native)
	main := b.location(2, 0x400, golang, [2]int64{int64(b.function("main.checkout", "checkout.go")), 7}, [2]int64{int64(b.function("main.main", "main.go")), 21})
	deep, shallow := b.stack(unnamed, main), b.stack(main)
	thread := []int32{b.attribute("thread.name", text("worker")), b.attribute("thread.id", number(77))}
	link := b.LinkTable().AppendEmpty()
	link.SetTraceID(pcommon.TraceID{0x11, 0x22, 0x33, 15: 0xff})
	link.SetSpanID(pcommon.SpanID{0xaa, 7: 0xbb})

	cart := all.ResourceProfiles().AppendEmpty()
	cart.SetSchemaUrl("https://opentelemetry.io/schemas/1.37.0")
	attributes := cart.Resource().Attributes()
	attributes.PutStr("service.name", "cart")
	attributes.PutStr("host.name", "alpha")
	attributes.PutStr("container.id", "c0ffee")
	attributes.PutInt("process.pid", 42)
	attributes.PutBool("canary", true)
	list := attributes.PutEmptySlice("zones")
	list.AppendEmpty().SetStr("a")
	list.AppendEmpty().SetStr("b")
	scope := cart.ScopeProfiles().AppendEmpty()
	scope.Scope().SetName("profiler")
	scope.Scope().SetVersion("1")
	cpu := b.profile(scope, "samples", "count", 50_000_000)
	cpu.SetProfileID(pprofile.ProfileID{1, 15: 2})
	s := cpu.Samples().AppendEmpty()
	s.SetStackIndex(deep)
	s.SetLinkIndex(1)
	s.AttributeIndices().Append(thread...)
	s.TimestampsUnixNano().Append(now+1_000_000, now+51_000_000, now+101_000_000)
	s = cpu.Samples().AppendEmpty()
	s.SetStackIndex(shallow)
	s.AttributeIndices().Append(thread...)
	s.TimestampsUnixNano().Append(now+3_000_000, now+4_000_000)
	off := b.profile(scope, "off_cpu", "nanoseconds", 0)
	s = off.Samples().AppendEmpty()
	s.SetStackIndex(shallow)
	s.AttributeIndices().Append(thread...)
	s.Values().Append(300, 700)
	s.TimestampsUnixNano().Append(now+2_000_000, now+9_000_000)

	nobody := all.ResourceProfiles().AppendEmpty()
	nobody.Resource().Attributes().PutStr("service.name", "unknown_service:mailer")
	nobody.Resource().Attributes().PutStr("host.name", "alpha")
	s = b.profile(nobody.ScopeProfiles().AppendEmpty(), "cpu", "nanoseconds", 0).Samples().AppendEmpty()
	s.SetStackIndex(shallow)
	s.Values().Append(9000)
	return all
}

// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/collectionagent/otlp"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// typeProfiles is the type of batch of OTLP in metrics.
const typeProfiles = "profiles"

// profilesService returns the description of the service of OTLP. Its requests are
// read from the bytes, since most of them are tables that are needed once: to make
// objects of their entries would take longer than everything else.
func (s *Server) profilesService() *grpc.ServiceDesc {
	desc := collector.ProfilesService_ServiceDesc
	export := s.budgetedMethod(desc.ServiceName, "Export", func(_ any, ctx context.Context, read func(any) error, m *meter) (any, error) {
		b, err := s.receiveBody(ctx, read, m)
		if err != nil {
			return nil, err
		}
		defer b.Free() // after the message is released, which refers to it
		answer, err := s.exportFrom(ctx, func(o *otlp.Options) (*otlp.Message, error) { return otlp.Read(b.ReadOnlyData(), o) })
		if err != nil { // not an answer that is nil
			return nil, err
		}
		return answer, nil
	})
	desc.Methods = []grpc.MethodDesc{export}
	return &desc
}

// Export implements the service of OTLP for requests that were decoded by others.
func (s *Server) Export(ctx context.Context, r *collector.ExportProfilesServiceRequest) (*collector.ExportProfilesServiceResponse, error) {
	return s.exportFrom(ctx, func(o *otlp.Options) (*otlp.Message, error) {
		if o.Bytes == 0 { // nobody has read it
			o.Bytes = int64(proto.Size(r))
		}
		return otlp.ReadStructs(r, o)
	})
}

// exportFrom stores a request in whatever form it came. All ways into the store end here.
func (s *Server) exportFrom(
	ctx context.Context, read func(*otlp.Options) (*otlp.Message, error),
) (*collector.ExportProfilesServiceResponse, error) {
	message, err := read(s.exportOptions(ctx))
	switch {
	case errors.Is(err, otlp.ErrOldLayout):
		s.metrics.batches.WithLabelValues(typeProfiles, "old_layout").Inc()
		answer, _ := s.toStatus(ourError(err))
		return nil, answer
	case err != nil:
		return nil, s.unreadable(ourError(err))
	}
	defer message.Release()
	return s.export(ctx, message)
}

// ourError turns an error about what a request says into one of this package.
func ourError(err error) error {
	var field *otlp.FieldError
	switch {
	case errors.Is(err, otlp.ErrWire):
		return errWire
	case errors.As(err, &field):
		return &fieldError{field: field.Field, description: field.Description, tooLarge: field.TooLarge}
	}
	return err
}

// exportOptions returns the bounds of a request that comes now.
func (s *Server) exportOptions(ctx context.Context) *otlp.Options {
	now := libpf.UnixTimeNs(s.cfg.Now().UnixNano())
	m := meterOf(ctx)
	o := &otlp.Options{
		Project: s.project(ctx), Now: now, MaxSamples: s.cfg.Limits.MaxSamples, MaxFrames: s.cfg.Limits.MaxFrames,
		MaxLabels: s.cfg.Limits.MaxLabels, MaxMetadata: s.cfg.Limits.MaxMetadata, MaxTextBytes: s.cfg.Limits.MaxTextBytes,
		Charge: m.charge,
	}
	o.First, o.Last = s.cfg.Limits.window(now)
	if m != nil {
		o.Bytes = m.bytes
	}
	return o
}

// export stores a request and answers it. OTLP has no identity for batches: a
// request whose answer was lost is stored again when the client repeats it.
func (s *Server) export(ctx context.Context, message *otlp.Message) (*collector.ExportProfilesServiceResponse, error) {
	started := time.Now()
	defer func() { s.metrics.seconds.WithLabelValues(typeProfiles).Observe(time.Since(started).Seconds()) }()
	project := message.Project
	in, err := s.storeExport(ctx, message)
	projects := &s.ledger.projects
	if err != nil {
		answer, result := s.toStatus(err)
		s.metrics.batches.WithLabelValues(typeProfiles, result).Inc()
		weight := message.Weight()
		if in != nil {
			weight = in.Batch.Weight()
			s.leftOut(project, in)
		}
		projects.Refuse(project, result, weight)
		return nil, answer
	}
	s.pressure.serve()
	projects.Store(project, in.Batch.Weight(), false)
	s.leftOut(project, in)
	answer, result := &collector.ExportProfilesServiceResponse{}, "stored"
	if in.RejectedProfiles > 0 || len(in.Notes) > 0 {
		result = "partial"
		answer.PartialSuccess = &collector.ExportProfilesPartialSuccess{
			RejectedProfiles: in.RejectedProfiles, ErrorMessage: strings.Join(in.Notes, "; "),
		}
	}
	s.metrics.batches.WithLabelValues(typeProfiles, result).Inc()
	return answer, nil
}

// leftOut counts the samples of a request that are not taken for ever.
func (s *Server) leftOut(project string, in *otlp.Request) {
	for reason, n := range map[string]uint64{"too_old": in.TooOld, "in_future": in.InFuture, "unsupported": in.Unsupported} {
		if n > 0 {
			s.ledger.projects.Refuse(project, reason, n)
		}
	}
}

// storeExport checks and stores a request. in is nil when it is not valid.
func (s *Server) storeExport(ctx context.Context, message *otlp.Message) (in *otlp.Request, err error) {
	project := message.Project
	// What is left out as known may be gone by the end, which is looked at below.
	epoch := s.known.current()
	known := s.knownContent(project)
	in, err = message.Decode(known)
	if err != nil {
		return nil, ourError(err)
	}
	if len(in.Batch.Samples) == 0 {
		return in, nil
	}
	bytes, admitted := message.Bytes, limit.Admitted{}
	if m := meterOf(ctx); m != nil {
		bytes, admitted = m.bill()
	}
	if err := s.allowHosts(project, bytes, in, admitted); err != nil {
		return in, err
	}
	// A client that leaves does not end the storing: see appendBatch. Definitions
	// come first, so that nothing is shown without names.
	if err := s.define(ctx, in, known); err != nil {
		return in, err
	}
	if s.known.current() == epoch {
		in.Wholes(known.learnWhole)
	}
	if err := s.putHosts(ctx, in, known); err != nil {
		return in, err
	}
	if _, err := s.appendBatch(ctx, in.Batch); err != nil {
		return in, err
	}
	if s.known.current() != epoch {
		if err := s.define(ctx, in, nil); err != nil {
			s.cfg.Logger.Warn("defining again what the store forgot", "err", err)
		}
	}
	return in, nil
}

// allowHosts applies the limits of the project and of the hosts of a request.
func (s *Server) allowHosts(project string, bytes int64, in *otlp.Request, admitted limit.Admitted) error {
	if s.limiter == nil {
		return nil
	}
	rows := make([]int64, len(in.Batch.Series))
	for i := range in.Batch.Samples {
		rows[in.Batch.Samples[i].Series]++
	}
	type share struct {
		batch   *store.Batch
		samples int64
	}
	hosts := make(map[string]share)
	for i := range in.Batch.Series {
		h := in.Batch.Series[i].HostID
		one, ok := hosts[h]
		if !ok {
			one.batch = &store.Batch{ID: store.BatchID{Project: project, HostID: h}}
		}
		one.batch.Series = append(one.batch.Series, in.Batch.Series[i])
		one.samples += rows[i]
		hosts[h] = one
	}
	for _, h := range hosts {
		if err := s.allowCost(h.batch, h.samples, bytes*h.samples/int64(len(in.Batch.Samples)), admitted); err != nil {
			return err
		}
	}
	return nil
}

// define stores what samples refer to and is not known, and remembers it.
func (s *Server) define(ctx context.Context, in *otlp.Request, known *knownContent) error {
	put := s.put(ctx)
	var ask otlp.Known
	if known != nil {
		ask = known
	}
	return in.Definitions(ask, func(d *store.Definitions) error {
		epoch := s.known.current()
		if _, err := put(d); err != nil {
			return err
		}
		if known != nil && s.known.current() == epoch {
			known.learn(d)
		}
		return nil
	})
}

// hostEvery is how often a host that goes on sending is stored again.
const hostEvery = 10 * time.Minute

// putHosts stores the hosts that were not stored lately.
func (s *Server) putHosts(ctx context.Context, in *otlp.Request, known *knownContent) error {
	var fresh []id128
	d := &store.Definitions{Project: known.project}
	for i := range in.Hosts {
		h := &in.Hosts[i]
		var x xxh3.Hasher
		_, _ = x.WriteString(h.LastSeen.Time().Truncate(hostEvery).String() + "\x00" + h.ID + "\x00" + h.Name) // cannot fail
		sum := x.Sum128()
		for k, v := range h.Metadata { // in any order
			one := xxh3.HashString128(k + "\x00" + v)
			sum.Hi, sum.Lo = sum.Hi+one.Hi, sum.Lo+one.Lo
		}
		id := known.files.of(sum.Hi, sum.Lo)
		if known.known.files.has(id) {
			continue
		}
		fresh = append(fresh, id)
		d.Hosts = append(d.Hosts, *h)
	}
	if len(d.Hosts) == 0 {
		return nil
	}
	if _, err := s.put(ctx)(d); err != nil {
		return err
	}
	for _, id := range fresh {
		known.known.files.add(id)
	}
	return nil
}

// knownContent is what is known of the definitions of a project, by content.
type knownContent struct {
	known                 *known
	project               string
	stacks, frames, files idOwner
	wholes                idOwner
}

// knownContent returns what is known of a project.
func (s *Server) knownContent(project string) *knownContent {
	k := s.known
	return &knownContent{
		known: k, project: project, stacks: k.stacks.owner(project), frames: k.frames.owner(project), files: k.files.owner(project),
		wholes: k.wholes.owner(project),
	}
}

var _ otlp.Known = (*knownContent)(nil)

// Whole implements [otlp.Known].
func (k *knownContent) Whole(hi, lo uint64) (libpf.TraceHash, bool) {
	return k.known.wholes.get(k.wholes.of(hi, lo))
}

// learnWhole remembers a stack all of which is stored.
func (k *knownContent) learnWhole(hi, lo uint64, hash libpf.TraceHash) {
	k.known.wholes.add(k.wholes.of(hi, lo), hash)
}

// Stack implements [otlp.Known].
func (k *knownContent) Stack(h libpf.TraceHash) bool {
	return k.known.stacks.has(k.stacks.of(stackKey(h)))
}

// Symbol implements [otlp.Known].
func (k *knownContent) Symbol(hi, lo uint64) bool { return k.known.frames.has(k.frames.of(hi, lo)) }

// Executable implements [otlp.Known].
func (k *knownContent) Executable(hi, lo uint64) bool { return k.known.files.has(k.files.of(hi, lo)) }

// learn remembers definitions by content. By their IDs the server knows them already.
func (k *knownContent) learn(d *store.Definitions) {
	for i := range d.Symbols {
		k.known.frames.add(k.frames.of(otlp.SymbolKey(&d.Symbols[i])))
	}
	for i := range d.Executables {
		k.known.files.add(k.files.of(otlp.ExecutableKey(&d.Executables[i])))
	}
}

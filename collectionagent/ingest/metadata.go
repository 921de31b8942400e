// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// executables checks and converts a request with executables.
func (v *validator) executables(r *pb.AddExecutableMetadataRequest, project string) (*store.Definitions, error) {
	id, err := v.batch(r.Batch, project, store.BatchExecutables)
	if err != nil {
		return nil, err
	}
	files, err := v.fileTable(r.HiFileIds, r.LoFileIds)
	if err != nil {
		return nil, err
	}
	if err := sameLength("file_names", len(r.FileNames), "hi_file_ids", len(files)); err != nil {
		return nil, err
	}
	if err := sameLength("build_ids", len(r.BuildIds), "hi_file_ids", len(files)); err != nil {
		return nil, err
	}
	if err := optionalLength("runtimes", len(r.Runtimes), "hi_file_ids", len(files)); err != nil {
		return nil, err
	}
	if err := v.meter.charge("hi_file_ids", len(files), 2*entryBytes); err != nil {
		return nil, err
	}
	d := &store.Definitions{ID: id, Project: project, Executables: make([]libpf.Executable, len(files))}
	for i := range files {
		if err := v.text(at("file_names", i), r.FileNames[i]); err != nil {
			return nil, err
		}
		if err := v.text(at("build_ids", i), r.BuildIds[i]); err != nil {
			return nil, err
		}
		d.Executables[i] = libpf.Executable{FileID: files[i], FileName: r.FileNames[i], BuildID: r.BuildIds[i]}
		if len(r.Runtimes) > 0 {
			if err := v.text(at("runtimes", i), r.Runtimes[i]); err != nil {
				return nil, err
			}
			d.Executables[i].Runtime = r.Runtimes[i]
		}
	}
	return d, nil
}

// host checks and converts a description of a host.
func (v *validator) host(r *pb.ReportHostMetadataRequest, project string) (*store.Definitions, error) {
	id, err := v.batch(r.Batch, project, store.BatchHost)
	if err != nil {
		return nil, err
	}
	if err := v.seconds("timestamp", r.Timestamp); err != nil {
		return nil, err
	}
	if len(r.Metadata) > v.limits.MaxMetadata {
		return nil, invalid("metadata", "has %d entries, at most %d are allowed", len(r.Metadata), v.limits.MaxMetadata)
	}
	for key, value := range r.Metadata {
		if err := v.text("metadata", key); err != nil {
			return nil, err
		}
		if len(value) > v.limits.MaxTextBytes {
			return nil, invalid("metadata", "value of %q has %d bytes, at most %d are allowed", key, len(value), v.limits.MaxTextBytes)
		}
	}
	return &store.Definitions{ID: id, Project: project, Hosts: []store.Host{{
		ID: id.HostID, Name: r.Batch.HostName, Metadata: r.Metadata,
		LastSeen: libpf.UnixTimeNs(r.Timestamp) * libpf.UnixTimeNs(time.Second), //nolint:gosec // checked above
	}}}, nil
}

// metrics checks and converts an agent's own metrics.
func (v *validator) metrics(r *pb.AddMetricsRequest, project string) (*store.Definitions, error) {
	id, err := v.batch(r.Batch, project, store.BatchMetrics)
	if err != nil {
		return nil, err
	}
	if err := sameLength("ids", len(r.Ids), "timestamps", len(r.Timestamps)); err != nil {
		return nil, err
	}
	if err := sameLength("values", len(r.Values), "timestamps", len(r.Timestamps)); err != nil {
		return nil, err
	}
	if err := v.meter.charge("ids", len(r.Ids), entryBytes); err != nil {
		return nil, err
	}
	d := &store.Definitions{ID: id, Project: project, Metrics: make([]store.MetricPoint, len(r.Ids))}
	for i := range d.Metrics {
		if err := v.seconds(at("timestamps", i), uint64(r.Timestamps[i])); err != nil {
			return nil, err
		}
		d.Metrics[i] = store.MetricPoint{
			HostID: id.HostID, Time: libpf.UnixTime32(r.Timestamps[i]), ID: r.Ids[i], Value: r.Values[i],
		}
	}
	return d, nil
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/limit"
)

// Limits are the settings that keep agents, and people, from asking too much.
type Limits struct {
	IngestMemory   Bytes // 0: a part of Config.Memory
	MaxConnections int
	RequestTimeout time.Duration
	IdleTimeout    time.Duration

	MaxSampleAge, MaxSampleLead time.Duration

	MaxSamples, MaxFrames, MaxLabels, MaxMetadata int
	MaxText                                       Bytes

	HostBytes, ProjectBytes     Bytes
	HostSamples, ProjectSamples int
	HostSeries, ProjectSeries   int
	ProjectHosts                int

	// Of queries. MaxQueries and ProjectQueries of 0 follow the number of CPUs.
	MaxQueries, ProjectQueries int
	QueryMemory                Bytes // 0: a part of Config.Memory
	QueryTimeout               time.Duration
	QueryRows, QueryNodes      int
}

// defaultLimits are far above what honest agents send: a host with 64 busy CPUs
// sends 1,300 samples and 40 kB a second.
func defaultLimits() Limits {
	return Limits{
		MaxConnections: 10_000, RequestTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxSampleAge: 7 * 24 * time.Hour, MaxSampleLead: time.Hour,
		MaxSamples: 1 << 18, MaxFrames: 1 << 14, MaxLabels: 64, MaxMetadata: 1 << 10, MaxText: 64 << 10,
		HostBytes: 32 << 20, HostSamples: 500_000, HostSeries: 20_000,
		ProjectBytes: 256 << 20, ProjectSamples: 5_000_000, ProjectSeries: 200_000, ProjectHosts: 10_000,
		QueryTimeout: time.Minute, QueryRows: 4_000_000, QueryNodes: 1_000_000,
	}
}

// register adds the flags of the limits.
func (l *Limits) register(fs *flag.FlagSet) {
	fs.TextVar(&l.IngestMemory, "ingest-memory", l.IngestMemory, "of -memory, that for requests of agents being read and worked on; a `size`, 0: its share")
	fs.IntVar(&l.MaxConnections, "max-connections", l.MaxConnections, "`number` of connections of agents open at once, and of browsers")
	fs.DurationVar(&l.RequestTimeout, "request-timeout", l.RequestTimeout, "`time` in which a request, of an agent or a browser, has to arrive")
	fs.DurationVar(&l.IdleTimeout, "idle-timeout", l.IdleTimeout, "`time` without requests after which a connection of an agent is closed")
	fs.DurationVar(&l.MaxSampleAge, "max-sample-age", l.MaxSampleAge, "`time` before now from which samples are taken")
	fs.DurationVar(&l.MaxSampleLead, "max-sample-lead", l.MaxSampleLead, "`time` ahead of now up to which samples are taken")
	fs.IntVar(&l.MaxSamples, "max-samples-per-request", l.MaxSamples, "`number` of samples in a request")
	fs.IntVar(&l.MaxFrames, "max-frames-per-stack", l.MaxFrames, "`number` of frames of a stack")
	fs.IntVar(&l.MaxLabels, "max-labels-per-set", l.MaxLabels, "`number` of labels of a process or sample")
	fs.TextVar(&l.MaxText, "max-text-bytes", l.MaxText, "length of a name, label or other text; a `size`")
	fs.IntVar(&l.MaxMetadata, "max-host-metadata", l.MaxMetadata, "`number` of entries of the metadata of a host")
	fs.TextVar(&l.HostBytes, "host-bytes-per-second", l.HostBytes, "what a host may send, uncompressed; a `size`, 0: no limit")
	fs.IntVar(&l.HostSamples, "host-samples-per-second", l.HostSamples, "`number` of samples a host may send, 0: no limit")
	fs.IntVar(&l.HostSeries, "host-series-per-second", l.HostSeries, "`number` of new series a host may send, 0: no limit")
	fs.TextVar(&l.ProjectBytes, "project-bytes-per-second", l.ProjectBytes, "what a project may send, uncompressed; a `size`, 0: no limit")
	fs.IntVar(&l.ProjectSamples, "project-samples-per-second", l.ProjectSamples, "`number` of samples a project may send, 0: no limit")
	fs.IntVar(&l.ProjectSeries, "project-series-per-second", l.ProjectSeries, "`number` of new series a project may send, 0: no limit")
	fs.IntVar(&l.ProjectHosts, "project-hosts", l.ProjectHosts, "`number` of hosts of a project that send within an hour, 0: no limit")
	fs.IntVar(&l.MaxQueries, "max-concurrent-queries", l.MaxQueries, "`number` of queries worked on at once, 0: two for each CPU, at least 4")
	fs.IntVar(&l.ProjectQueries, "project-concurrent-queries", l.ProjectQueries, "`number` of queries of a project worked on at once, 0: three quarters of -max-concurrent-queries")
	fs.TextVar(&l.QueryMemory, "query-memory", l.QueryMemory, "of -memory, that for all queries being worked on; a `size`, 0: its share")
	fs.DurationVar(&l.QueryTimeout, "query-timeout", l.QueryTimeout, "`time` that a query may take")
	fs.IntVar(&l.QueryRows, "max-query-rows", l.QueryRows, "`number` of sums, such as stacks, that an answer is made of")
	fs.IntVar(&l.QueryNodes, "max-query-nodes", l.QueryNodes, "`number` of nodes of a flame graph that may be asked for")
}

// validate returns what is wrong with the limits.
func (l *Limits) validate(c *Config) (errs []error) {
	between := func(name string, v, lowest, highest int64) {
		if v < lowest || v > highest {
			errs = append(errs, fmt.Errorf("-%s: is %d, must be from %d to %d", name, v, lowest, highest))
		}
	}
	period := func(name string, v, lowest, highest time.Duration) {
		if v < lowest || v > highest {
			errs = append(errs, fmt.Errorf("-%s: is %s, must be from %s to %s", name, v, lowest, highest))
		}
	}
	const leastQueryMemory, mostMemory Bytes = 16 << 20, 1 << 40
	if least := requestsInMemory * c.MaxRequestBytes; l.IngestMemory != 0 && (l.IngestMemory < least || l.IngestMemory > mostMemory) {
		errs = append(errs, fmt.Errorf("-ingest-memory: is %s, must be from %s, four times -max-request-bytes, to %s", l.IngestMemory, least, mostMemory))
	}
	if l.QueryMemory != 0 && (l.QueryMemory < leastQueryMemory || l.QueryMemory > mostMemory) {
		errs = append(errs, fmt.Errorf("-query-memory: is %s, must be from %s to %s", l.QueryMemory, leastQueryMemory, mostMemory))
	}
	between("max-connections", int64(l.MaxConnections), 1, 1_000_000)
	period("request-timeout", l.RequestTimeout, time.Second, time.Hour)
	period("idle-timeout", l.IdleTimeout, 10*time.Second, 24*time.Hour)
	period("max-sample-age", l.MaxSampleAge, time.Minute, 10*365*24*time.Hour)
	period("max-sample-lead", l.MaxSampleLead, time.Second, 24*time.Hour)
	between("max-samples-per-request", int64(l.MaxSamples), 1000, 1<<24)
	between("max-frames-per-stack", int64(l.MaxFrames), 128, 1<<16)
	between("max-labels-per-set", int64(l.MaxLabels), 1, 1<<12)
	between("max-text-bytes", int64(l.MaxText), 256, 1<<20)
	between("max-host-metadata", int64(l.MaxMetadata), 1, 1<<16)
	between("max-concurrent-queries", int64(l.MaxQueries), 0, 10_000)
	between("project-concurrent-queries", int64(l.ProjectQueries), 0, 10_000)
	period("query-timeout", l.QueryTimeout, time.Second, time.Hour)
	between("max-query-rows", int64(l.QueryRows), 1000, 1<<30)
	between("max-query-nodes", int64(l.QueryNodes), 100, 10_000_000)
	for _, rate := range []struct {
		name string
		v    int64
	}{
		{"host-bytes-per-second", int64(l.HostBytes)}, {"project-bytes-per-second", int64(l.ProjectBytes)},
		{"host-samples-per-second", int64(l.HostSamples)}, {"project-samples-per-second", int64(l.ProjectSamples)},
		{"host-series-per-second", int64(l.HostSeries)}, {"project-series-per-second", int64(l.ProjectSeries)},
		{"project-hosts", int64(l.ProjectHosts)},
	} {
		if rate.v < 0 {
			errs = append(errs, fmt.Errorf("-%s: is negative", rate.name))
		}
	}
	return errs
}

// single returns the limits of single things.
func (l *Limits) single() ingest.Limits {
	return ingest.Limits{
		MaxSamples: l.MaxSamples, MaxFrames: l.MaxFrames, MaxLabels: l.MaxLabels, MaxTextBytes: int(l.MaxText), MaxMetadata: l.MaxMetadata,
		MaxSampleAge: l.MaxSampleAge, MaxSampleLead: l.MaxSampleLead,
	}
}

// rates returns the limits of hosts and projects.
func (l *Limits) rates() limit.Config {
	return limit.Config{
		Host: limit.Amount{Bytes: int64(l.HostBytes), Samples: int64(l.HostSamples), Series: int64(l.HostSeries)},
		Project: limit.Amount{
			Bytes: int64(l.ProjectBytes), Samples: int64(l.ProjectSamples), Series: int64(l.ProjectSeries),
		},
		HostsPerProject: l.ProjectHosts,
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package status is what an agent says about itself on its page /status, and how
// "agent status" asks for it and shows it to people.
package status

import (
	"time"

	"github.com/strobe-profiler/strobe/internal/containers"
	"github.com/strobe-profiler/strobe/internal/sampling"
)

// States of an agent.
const (
	Starting = "starting"
	Ready    = "ready"
	Stopping = "stopping"
)

// Connected is the state of a delivery that works; the reporter names the others.
const Connected = "connected"

// Report is the page /status.
type Report struct {
	// State is starting, ready or stopping.
	State         string    `json:"state"`
	Version       string    `json:"version"`
	Host          string    `json:"host"`
	HostID        string    `json:"host_id"`
	StartTime     time.Time `json:"start_time"`
	UptimeSeconds int64     `json:"uptime_seconds"`
	// SamplesPerSecond is per busy CPU.
	SamplesPerSecond int             `json:"samples_per_second"`
	Sampling         *sampling.Stats `json:"sampling,omitempty"`
	Delivery         *Delivery       `json:"delivery,omitempty"`
	// Containers are those who are asked for the names of containers.
	Containers []containers.Status `json:"containers,omitempty"`
	// Privileges are the capabilities that the agent has left; nil: it gave up none.
	Privileges []string `json:"privileges,omitzero"`
	// Limits are what is off on this host.
	Limits []sampling.Capability `json:"limits"`
}

// Delivery describes the connection to the collection agent or to another backend, and
// what became of the samples: at every moment captured = stored + queued + spooled + dropped.
type Delivery struct {
	// CollectionAgent is its address, or the endpoint of a backend of OTLP.
	CollectionAgent string `json:"collection_agent"`
	// Protocol is how it is spoken to: strobe, otlp/grpc or otlp/http.
	Protocol  string `json:"protocol"`
	Encrypted bool   `json:"encrypted"`
	// State is connected, or starting, disconnected, overloaded, refused or stopped.
	State         string    `json:"state"`
	LastError     string    `json:"last_error,omitempty"`
	LastErrorTime time.Time `json:"last_error_time,omitzero"`
	LastSuccess   time.Time `json:"last_success,omitzero"`
	// Advice says what to do when the state is not connected.
	Advice string `json:"advice,omitempty"`
	// CapturedTotal includes RecoveredTotal, which earlier runs had left in the spool.
	CapturedTotal  uint64 `json:"captured_samples_total"`
	RecoveredTotal uint64 `json:"recovered_samples_total"`
	StoredTotal    uint64 `json:"stored_samples_total"`
	QueuedSamples  uint64 `json:"queued_samples"`
	SpooledSamples uint64 `json:"spooled_samples"`
	// DroppedTotal is by reason.
	DroppedTotal   map[string]uint64 `json:"dropped_samples_total"`
	BacklogBatches int               `json:"backlog_batches"`
	Spool          Spool             `json:"spool"`
}

// Dropped sums up what was lost.
func (d *Delivery) Dropped() (sum uint64) {
	for _, n := range d.DroppedTotal {
		sum += n
	}
	return sum
}

// Spool describes what waits on disk.
type Spool struct {
	// State is on, off, or the reason why it does not work at the moment.
	State    string `json:"state"`
	Dir      string `json:"dir,omitempty"`
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	Batches  int    `json:"batches"`
	// Oldest is when the oldest of them was put there.
	Oldest time.Time `json:"oldest,omitzero"`
	// ForeignBytes are what the other exporter left and only it can send.
	ForeignBytes int64 `json:"foreign_bytes,omitempty"`
}

// Healthy reports whether the agent profiles and delivers.
func (r *Report) Healthy() bool {
	return r.State == Ready && r.Delivery != nil && r.Delivery.State == Connected
}

// Protocols of a delivery.
const (
	ProtocolStrobe   = "strobe"
	ProtocolOTLPGRPC = "otlp/grpc"
	ProtocolOTLPHTTP = "otlp/http"
)

// peer is how to call who is delivered to, and the flag that says where it is.
func (d *Delivery) peer() (name, flag string) {
	if d.Protocol == ProtocolOTLPGRPC || d.Protocol == ProtocolOTLPHTTP {
		return "OTLP backend", "-otlp-endpoint"
	}
	return "collection agent", "-collection-agent"
}

// SPDX-License-Identifier: Apache-2.0

// Package status is what an agent says about itself on its page /status, and how
// "agent status" asks for it and shows it to people.
package status

import (
	"strings"
	"time"

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
	// Privileges are the capabilities that the agent has left; nil: it gave up none.
	Privileges []string `json:"privileges,omitzero"`
	// Limits are what is off on this host.
	Limits []sampling.Capability `json:"limits"`
}

// Delivery describes the connection to the collection agent, and what became of
// the samples: at every moment captured = stored + queued + spooled + dropped.
type Delivery struct {
	// CollectionAgent is its address.
	CollectionAgent string `json:"collection_agent"`
	Encrypted       bool   `json:"encrypted"`
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
}

// Healthy reports whether the agent profiles and delivers.
func (r *Report) Healthy() bool {
	return r.State == Ready && r.Delivery != nil && r.Delivery.State == Connected
}

// Advise says what to do about a delivery that does not work, "" when nothing
// is known that would help. It goes by the text of the error, as the errors of
// gRPC and TLS leave nothing else.
func Advise(state, lastError, address string) string {
	if state == Connected || lastError == "" {
		return ""
	}
	text := strings.ToLower(lastError)
	for _, a := range advices {
		for _, mark := range a.marks {
			if strings.Contains(text, mark) {
				return strings.ReplaceAll(a.advice, "ADDRESS", address)
			}
		}
	}
	switch state {
	case "refused":
		return "see the log of the collection agent at " + address + " for why it refuses this agent"
	case "overloaded":
		return "nothing here: samples wait until the collection agent has room; give it more, or let agents take fewer samples"
	}
	return "see that the collection agent runs at " + address + " and can be reached from here"
}

// advices are tried in order; the more special ones come first.
var advices = []struct {
	marks  []string
	advice string
}{
	{[]string{"certificate signed by unknown authority", "certificate is not trusted"}, "give the certificate that signed the collection agent's own with -tls-ca"},
	{[]string{"certificate has expired", "not yet valid"}, "renew the certificate of the collection agent, and see that the clocks of both hosts are right"},
	{[]string{"certificate is valid for", "doesn't contain any ip sans", "cannot validate certificate for"}, "use the name in the collection agent's certificate in -collection-agent, or give it a certificate for ADDRESS"},
	{[]string{"certificate required", "bad certificate", "unknown certificate"}, "give a certificate that the collection agent trusts with -tls-cert and -tls-key"},
	{[]string{"first record does not look like a tls handshake"}, "the collection agent at ADDRESS does not encrypt: give it a certificate, or give this agent -disable-tls"},
	{[]string{"error reading server preface", "http2: frame too large"}, "the collection agent at ADDRESS may want TLS: leave out -disable-tls, or give -tls-ca"},
	{[]string{"token file", "token-file"}, "put the token into the file of -token-file, readable for this agent only"},
	{[]string{"unauthenticated"}, "give a token that the collection agent knows with -token-file; \"collectionagent token create\" makes one"},
	{[]string{"permissiondenied", "permission denied"}, "the token of -token-file may not send profiles: make one with the role ingest"},
	{[]string{"unimplemented", "failedprecondition"}, "agent and collection agent do not fit together: update the older one, and see that ADDRESS is its gRPC port"},
	{[]string{"connection refused"}, "nothing listens at ADDRESS: start the collection agent, or correct -collection-agent"},
	{[]string{"no such host", "server misbehaving"}, "the name in -collection-agent, ADDRESS, is not known on this host"},
	{[]string{"no route to host", "network is unreachable", "i/o timeout", "deadlineexceeded", "deadline exceeded"}, "see that ADDRESS can be reached from here and that no firewall is between"},
}

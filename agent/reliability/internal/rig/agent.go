// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// Agent is a running agent.
type Agent struct{ *Program }

// AgentSettings is how to start one.
type AgentSettings struct {
	Bin string
	// Server is the address to send to.
	Server string
	// HTTP is the address of its pages.
	HTTP string
	// Subject is the path of the only program to profile, at 1,000 Hz.
	Subject string
	// SpoolDir is where it keeps what it cannot deliver.
	SpoolDir string
	// Args are more flags.
	Args []string
}

// StartAgent starts an agent.
func StartAgent(s *AgentSettings) (*Agent, error) {
	args := append([]string{
		"-collection-agent", s.Server, "-http-address", s.HTTP, "-samples-per-second", "1000",
		"-include-executable", s.Subject, "-reporter-interval", "500ms", "-spool-dir", s.SpoolDir,
	}, s.Args...)
	p, err := Start(filepath.Join(s.Bin, "agent"), s.HTTP, args...)
	if err != nil {
		return nil, err
	}
	return &Agent{p}, nil
}

// AgentStatus is an agent's /status.
type AgentStatus struct {
	// Delivery is the state of the reporter: connected, refused and so on.
	Delivery  string
	LastError string
	// Spool is on, off, or what is wrong with it; "" when the agent does not say.
	Spool  string
	Ledger Ledger
	// At is when the answer had arrived.
	At time.Time
}

// Status asks the agent.
func (a *Agent) Status(ctx context.Context) (AgentStatus, error) {
	b, err := Get(ctx, "http://"+a.HTTP+"/status")
	if err != nil {
		return AgentStatus{}, err
	}
	var page struct {
		Delivery struct {
			State     string            `json:"state"`
			LastError string            `json:"last_error"`
			Captured  uint64            `json:"captured_samples_total"`
			Recovered uint64            `json:"recovered_samples_total"`
			Stored    uint64            `json:"stored_samples_total"`
			Queued    uint64            `json:"queued_samples"`
			Spooled   uint64            `json:"spooled_samples"`
			Dropped   map[string]uint64 `json:"dropped_samples_total"`
			Spool     struct {
				State string `json:"state"`
			} `json:"spool"`
		} `json:"delivery"`
	}
	if err := json.Unmarshal(b, &page); err != nil {
		return AgentStatus{}, fmt.Errorf("read status of the agent: %w", err)
	}
	d := &page.Delivery
	return AgentStatus{
		Delivery: d.State, LastError: d.LastError,
		Spool: d.Spool.State, At: time.Now(),
		Ledger: Ledger{
			Captured: d.Captured, Recovered: d.Recovered, Stored: d.Stored,
			Queued: d.Queued, Spooled: d.Spooled, Dropped: d.Dropped,
		},
	}, nil
}

// Ledger reads the ledger from the agent's metrics.
func (a *Agent) Ledger(ctx context.Context) (Ledger, error) {
	m, err := a.Metrics(ctx)
	if err != nil {
		return Ledger{}, err
	}
	return m.AgentLedger(), nil
}

// Drained waits until the agent has delivered everything and captures nothing
// any more: the same ledger with nothing waiting, three times in a row.
func (a *Agent) Drained(ctx context.Context, timeout time.Duration) (Ledger, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last Ledger
	same := 0
	for {
		l, err := a.Ledger(ctx)
		switch {
		case err != nil:
			if !a.Running() {
				return last, fmt.Errorf("the agent ended: %w\n%s", a.exit(), a.Log())
			}
		case l.Captured == last.Captured && l.Waiting() == 0 && l.Captured > 0:
			same++
		default:
			same = 0
		}
		if err == nil {
			last = l
		}
		if same >= 3 {
			return last, nil
		}
		select {
		case <-ctx.Done():
			st, _ := a.Status(context.WithoutCancel(ctx))
			return last, fmt.Errorf("the agent has not delivered everything after %s: %s; %s: %s", timeout, last, st.Delivery, st.LastError)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package auth

import "github.com/prometheus/client_golang/prometheus"

// reason says why a request was denied, in metrics and logs. "" is no reason.
type reason string

// Reasons.
const (
	reasonMissing   reason = "missing"    // no token
	reasonMalformed reason = "malformed"  // not the text of a token
	reasonUnknown   reason = "unknown"    // no such token, or a wrong secret
	reasonExpired   reason = "expired"    // the token's time is over
	reasonSession   reason = "session"    // no such session, or its time is over
	reasonRole      reason = "role"       // the token lacks the role
	reasonProject   reason = "project"    // the token is for another project
	reasonUnlisted  reason = "unlisted"   // not in the policy
	reasonHost      reason = "host"       // the Host header names somebody else
	reasonCrossSite reason = "cross_site" // a page of another site made the request
	reasonCookie    reason = "cookie"     // a session, where data is sent
)

type metrics struct {
	accepted   *prometheus.CounterVec
	denied     *prometheus.CounterVec
	limited    prometheus.Counter
	fileErrors prometheus.Counter
	fileReads  prometheus.Counter
	evicted    *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_collectionagent_auth_accepted_total",
			Help: "Requests let in, by protocol (grpc, http) and by what they came with: token, session, open (none needed there), anonymous (none needed at all).",
		}, []string{"protocol", "with"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_collectionagent_auth_denied_total",
			Help: "Requests denied, by protocol (grpc, http) and reason: missing, malformed, unknown, expired, session, role, project, unlisted, host, cross_site, cookie.",
		}, []string{"protocol", "reason"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strobe_collectionagent_auth_limited_total",
			Help: "Denied requests of addresses with too many failed attempts; they are not logged.",
		}),
		fileErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strobe_collectionagent_auth_file_errors_total",
			Help: "Changes of the file of tokens that could not be used; the state of before stays in force.",
		}),
		fileReads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strobe_collectionagent_auth_file_reads_total",
			Help: "Changes of the file of tokens that were taken over.",
		}),
		evicted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_collectionagent_auth_sessions_evicted_total",
			Help: "People logged out because others logged in, by what was full: token (200 sessions), server (10,000).",
		}, []string{"full"}),
	}
}

var (
	requiredDesc = prometheus.NewDesc("strobe_collectionagent_auth_required", "1 when requests need a token, 0 when everybody may do everything.", nil, nil)
	sessionsDesc = prometheus.NewDesc("strobe_collectionagent_auth_sessions", "People logged in to the page.", nil, nil)
	tokensDesc   = prometheus.NewDesc("strobe_collectionagent_auth_tokens", "Tokens in force, by state: active, rotating (the secret before is still good), expired.", []string{"state"}, nil)
	usedDesc     = prometheus.NewDesc("strobe_collectionagent_auth_token_last_used_timestamp_seconds",
		"When a token was last used since the start of the server; tokens that were not are missing.", []string{"token", "project"}, nil)
)

// Describe implements prometheus.Collector.
func (g *Guard) Describe(c chan<- *prometheus.Desc) {
	for _, m := range g.metrics.collectors() {
		m.Describe(c)
	}
	for _, d := range []*prometheus.Desc{requiredDesc, sessionsDesc, tokensDesc, usedDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (g *Guard) Collect(c chan<- prometheus.Metric) {
	for _, m := range g.metrics.collectors() {
		m.Collect(c)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	required := 0.0
	if g.Required() {
		required = 1
	}
	gauge(requiredDesc, required)
	gauge(sessionsDesc, float64(g.sessions.len()))
	if g.registry == nil {
		return
	}
	now := g.now()
	states := map[string]int{"active": 0, "rotating": 0, "expired": 0}
	for id, t := range g.registry.state().tokens {
		states[t.State(now)]++
		if used := t.used.Load(); used != 0 {
			gauge(usedDesc, float64(used)/1e9, id, t.Project)
		}
	}
	for state, n := range states {
		gauge(tokensDesc, float64(n), state)
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.accepted, m.denied, m.limited, m.fileErrors, m.fileReads, m.evicted}
}

// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mode says when tokens are needed.
type Mode string

// Modes.
const (
	// ModeAuto needs tokens when other machines can reach the server, and as soon
	// as there is a token.
	ModeAuto Mode = "auto"
	// ModeRequired always needs tokens.
	ModeRequired Mode = "required"
	// ModeOff never does.
	ModeOff Mode = "off"
)

// Config is what [New] needs.
type Config struct {
	// Mode defaults to [ModeAuto].
	Mode Mode
	// Path of the file of projects and tokens. It need not exist.
	Path string
	// Reachable says that other machines can reach the server.
	Reachable bool
	// AllowedHosts are names in the Host header that are accepted while no token
	// is needed, beside addresses and names of this machine; for reverse proxies.
	AllowedHosts []string
	// Policy defaults to [DefaultPolicy].
	Policy *Policy
	// Logger takes denied requests and changes of the file. Default: none.
	Logger *slog.Logger
	// Registerer takes the metrics. nil: they are not exported.
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Guard lets requests in or denies them. It is safe for concurrent use.
type Guard struct {
	mode      Mode
	reachable bool
	hosts     map[string]bool
	policy    Policy
	logger    *slog.Logger
	now       func() time.Time
	metrics   *metrics
	registry  *registry // nil when no token is ever needed
	sessions  *sessions
	attempts  *attempts
	// required stays set once it is: a server does not open because its last token
	// was revoked.
	required atomic.Bool
}

// New returns a guard. A file of tokens that cannot be used is an error.
func New(c Config) (*Guard, error) {
	m := newMetrics()
	g := &Guard{
		mode: cmp.Or(c.Mode, ModeAuto), reachable: c.Reachable, hosts: map[string]bool{}, logger: c.Logger, now: c.Now,
		metrics: m, sessions: newSessions(m.evicted), attempts: newAttempts(),
	}
	for _, h := range c.AllowedHosts {
		g.hosts[strings.ToLower(h)] = true
	}
	if c.Policy != nil {
		g.policy = *c.Policy
	} else {
		g.policy = DefaultPolicy()
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	switch g.mode {
	case ModeAuto, ModeRequired:
		var err error
		if g.registry, err = newRegistry(c.Path, g.now, g.logger, g.metrics); err != nil {
			return nil, err
		}
	case ModeOff:
	default:
		return nil, fmt.Errorf("authentication mode %q is not auto, required or off", g.mode)
	}
	if c.Registerer != nil {
		if err := c.Registerer.Register(g); err != nil {
			return nil, fmt.Errorf("register metrics of authentication: %w", err)
		}
	}
	return g, nil
}

// Required reports whether requests need a token now.
func (g *Guard) Required() bool {
	if g.mode == ModeOff {
		return false
	}
	if g.required.Load() {
		return true
	}
	if g.mode == ModeRequired || g.reachable || len(g.registry.state().tokens) > 0 {
		if g.required.CompareAndSwap(false, true) {
			g.logger.Info("requests need a token", "auth", string(g.mode), "file", g.registry.path)
		}
		return true
	}
	return false
}

// Locked reports whether requests need a token and there is none, so that nobody
// has access.
func (g *Guard) Locked() bool { return g.Required() && len(g.registry.state().tokens) == 0 }

// credentials are what a request brings.
type credentials struct {
	protocol string // in metrics
	what     string // the RPC or route, for the log
	address  netip.Addr
	// bearer is what the authorization header gives, "" for none.
	bearer string
	// basic is set when that came as a password, which browsers send by themselves.
	basic bool
	// session is the ID in the cookie, "" for none.
	session string
	// again is set when the same request was let in before.
	again bool
	// project that is asked for, "" for that of the token.
	project string
	// tenant is a project that is only asked for where the token may choose.
	tenant string
}

// denial says why a request is denied.
type denial struct {
	reason reason
	// who: the client is not known, as opposed to known and not allowed.
	who     bool
	message string
	// wait is how long the client should wait before it tries again, 0 if its
	// address has not failed too often.
	wait time.Duration
}

// Error implements error.
func (d *denial) Error() string { return d.message }

var messages = map[reason]string{
	reasonMissing:   `a token is needed: send the header "Authorization: Bearer TOKEN"`,
	reasonMalformed: "this is not a token: expected strobe_ID_SECRET as \"collectionagent token create\" printed it",
	reasonUnknown:   "this token is not known: it may have been revoked or rotated",
	reasonExpired:   "this token has expired: create another one with \"collectionagent token create\"",
	reasonSession:   "the session is over: log in again",
	reasonUnlisted:  "nobody has access to this",
}

// authorize is the one place where requests are let in. access is what the
// policy says, which is denied for what is not in it. The principal is nil for
// what is open.
func (g *Guard) authorize(access Access, c *credentials) (*Principal, error) {
	p, with, err := g.decide(access, c)
	if err != nil {
		return nil, g.deny(c, err)
	}
	if !c.again {
		g.metrics.accepted.WithLabelValues(c.protocol, with).Inc()
	}
	return p, nil
}

// decide is authorize without the counting.
func (g *Guard) decide(access Access, c *credentials) (p *Principal, with string, err error) {
	required := g.Required()
	switch {
	case access.Open != "":
		return nil, "open", nil
	case !required && access.denied():
		return nil, "", &denial{reason: reasonUnlisted}
	case !required:
		p, with = Anonymous(), "anonymous"
	default:
		if p, err = g.authenticate(c); err != nil {
			return nil, "", err
		}
		if with = "token"; p.Session {
			with = "session"
		}
	}
	switch {
	case access.denied():
		err = &denial{reason: reasonUnlisted}
	case !access.Any && !p.Roles.Has(access.Role):
		err = &denial{reason: reasonRole, message: fmt.Sprintf("this token has the role %s; %s is needed", p.Roles, access.Role)}
	case access.ServerWide && !p.ServerWide():
		err = &denial{reason: reasonProject, message: "this is about all projects: a token of the project \"*\" is needed"}
	case p.Session && access.Role == RoleIngest: // a browser sends it whoever made the page
		err = &denial{reason: reasonCookie, message: `a session is for looking at data: to send some, give a token in the header "Authorization: Bearer TOKEN"`}
	case required && p.ServerWide() && access.Role == RoleIngest:
		err = &denial{reason: reasonProject, message: "this token is for all projects; data belongs to one: create a token of that project with the role ingest"}
	case c.project == "":
	case p.ServerWide():
		if CheckProject(c.project) != nil {
			err = &denial{reason: reasonProject, message: "this is not the name of a project"}
		}
		p.Project = c.project
	case c.project != p.Project:
		err = &denial{reason: reasonProject, message: "this token is for another project"}
	}
	if err == nil && c.project == "" && c.tenant != "" && access.Tenant && p.ServerWide() {
		if CheckProject(c.tenant) != nil {
			err = &denial{reason: reasonProject, message: "X-Scope-OrgID is not the name of a project"}
		}
		p.Project = c.tenant
	}
	if err != nil {
		return nil, "", err
	}
	return p, with, nil
}

// authenticate finds out who makes a request.
func (g *Guard) authenticate(c *credentials) (*Principal, error) {
	var id string
	var secret Digest
	ok := false
	switch {
	case c.bearer != "":
		if id, secret, ok = parseToken(c.bearer); !ok {
			return nil, &denial{reason: reasonMalformed, who: true}
		}
	case c.session != "":
		if id, secret, ok = g.sessions.use(c.session, g.now()); !ok {
			return nil, &denial{reason: reasonSession, who: true}
		}
	default:
		return nil, &denial{reason: reasonMissing, who: true}
	}
	e, why := g.registry.verify(id, secret)
	if why != "" {
		if c.bearer == "" {
			g.sessions.end(c.session)
			why = reasonSession
		}
		return nil, &denial{reason: why, who: true}
	}
	p := &Principal{
		TokenID: e.ID, TokenName: e.Name, Scope: e.Project, Roles: e.roles, Project: e.Project,
		Session: c.bearer == "", digest: secret,
	}
	if p.ServerWide() {
		p.Project = DefaultProject
	}
	return p, nil
}

// deny counts and logs a denied request, and completes what the client is told.
func (g *Guard) deny(c *credentials, err error) error {
	var d *denial
	if !errors.As(err, &d) {
		d = &denial{reason: reasonUnlisted}
	}
	d.message = cmp.Or(d.message, messages[d.reason])
	g.metrics.denied.WithLabelValues(c.protocol, string(d.reason)).Inc()
	switch d.reason {
	case reasonMissing, reasonSession:
		return d // nobody tried anything
	}
	ok, wait := g.attempts.allow(c.address, g.now())
	if !ok {
		g.metrics.limited.Inc()
		d.wait = wait
		return d
	}
	g.logger.Warn("denied", "protocol", c.protocol, "request", c.what, "client", c.address, "reason", string(d.reason))
	return d
}

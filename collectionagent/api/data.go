// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// dataPattern is the route that deletes data.
const dataPattern = "DELETE /api/v1/data"

// dataNames are its parameters.
var dataNames = []string{"types", "query", "from", "to", "everything"}

// deletionTimeout bounds a deletion, which goes on when the client has left: what
// is half done would have to be asked for again.
const deletionTimeout = time.Hour

// deleted is the answer.
type deleted struct {
	Project string `json:"project"`
	// Samples is how many were deleted.
	Samples int64 `json:"samples"`
}

// deleteData deletes what the parameters select of the data of the project of the
// request. The route is one for the role admin, see [auth.DefaultPolicy].
func (s *server) deleteData(w http.ResponseWriter, r *http.Request) {
	const name = "data"
	start := time.Now()
	defer func() { s.metrics.duration.WithLabelValues(name).Observe(time.Since(start).Seconds()) }()
	defer s.catch(w, r, name)
	who, ok := auth.From(r.Context())
	if !ok || !who.Roles.Has(auth.RoleAdmin) {
		s.fail(w, r, name, errNobody)
		return
	}
	d, err := s.deletion(r, who.Project)
	if err != nil {
		s.fail(w, r, name, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), deletionTimeout)
	defer cancel()
	// Who deleted what has to be known later, when it is gone, even if this process
	// does not see the end of it.
	audit := s.config.Logger.With("project", d.Project, "token", who.TokenID, "token_name", who.TokenName, "remote", r.RemoteAddr,
		"types", r.Form.Get("types"), "query", r.Form.Get("query"), "from", r.Form.Get("from"), "to", r.Form.Get("to"), "everything", d.Whole())
	audit.Info("audit: deletion of data begins")
	removed, err := s.config.Store.Delete(ctx, d)
	audit.Info("audit: deletion of data", "samples", removed, "complete", err == nil)
	if err != nil {
		s.fail(w, r, name, deletionError(err))
		return
	}
	a, err := jsonAnswer(deleted{Project: d.Project, Samples: removed})
	if err != nil {
		s.fail(w, r, name, err)
		return
	}
	_ = a.send(w, r) // the client sees it
}

// deletionError returns what to tell the client of a deletion that failed.
func deletionError(err error) error {
	if errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrBusy) {
		return &requestError{status: http.StatusServiceUnavailable, reason: "read_only", Message: "some of the selection may be left, ask again: " + err.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &requestError{
			status: http.StatusGatewayTimeout, reason: "timeout",
			Message: fmt.Sprintf("the deletion took longer than %s; some of the selection is left, ask again", deletionTimeout),
		}
	}
	return err
}

// deletion reads what is to be deleted. Nothing has a default, and everything
// has to be asked for by name: there is no way back.
func (s *server) deletion(r *http.Request, project string) (*store.Deletion, error) {
	if err := r.ParseForm(); err != nil {
		return nil, badParameter("", fmt.Errorf("parameters are not URL-encoded: %w", err))
	}
	for _, name := range sortedNames(r.Form) {
		if !slices.Contains(dataNames, name) {
			return nil, badParameter(name, errors.New("unknown parameter: expected one of "+strings.Join(dataNames, ", ")))
		}
		if len(r.Form[name]) > 1 {
			return nil, badParameter(name, errors.New("given more than once"))
		}
		if r.Form[name][0] == "" { // a variable of a script that was meant to narrow it
			return nil, badParameter(name, errors.New("is empty: leave it out"))
		}
	}
	p := &parameters{values: r.Form, path: r.PathValue, now: s.config.Now()}
	d := &store.Deletion{Project: project}
	for _, text := range p.list("types", "") {
		t, err := libpf.ParseSampleType(text)
		if err != nil {
			p.fail("types", err)
		}
		d.Types = append(d.Types, t)
	}
	var err error
	if d.Matchers, err = query.ParseSelector(r.Form.Get("query")); err != nil {
		p.fail("query", err)
	}
	d.From, d.To = p.bound("from"), p.bound("to")
	everything := r.Form.Get("everything")
	switch {
	case p.err != nil:
	case d.To != 0 && d.From >= d.To:
		p.fail("from", fmt.Errorf("%s is not before to, which is %s", d.From, d.To))
	case everything != "" && everything != "true":
		p.fail("everything", errors.New("expected true"))
	case d.Whole() && everything == "":
		p.fail("everything", errors.New("is true, or types, query, from or to narrow what is deleted"))
	case !d.Whole() && everything != "":
		p.fail("everything", errors.New("is true, but types, query, from or to narrow what is deleted"))
	}
	if p.err != nil {
		return nil, p.err
	}
	return d, nil
}

// bound reads one end of what is deleted, 0 where there is no bound. A time that
// looks like none, such as the 0 of a script whose own sum failed, is refused.
func (p *parameters) bound(name string) libpf.UnixTimeNs {
	if p.values.Get(name) == "" {
		return 0
	}
	t := p.time(name, "")
	if p.err == nil && t == 0 {
		p.fail(name, errors.New("is 1970: leave it out where there is to be no bound"))
	}
	return t
}

// sortedNames returns the names of parameters in a fixed order.
func sortedNames(values map[string][]string) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

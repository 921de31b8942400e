// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/connect"
)

// Route is something that is served over HTTP.
type Route struct {
	// Pattern is that of [http.ServeMux].
	Pattern string
	Handler http.Handler
}

// projectParameter chooses the project of a request with a token of all projects.
const projectParameter = "project"

// Handler returns the handler of the routes, each of which asks the guard
// before anything of the request but its headers is read.
func (g *Guard) Handler(routes []Route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.Pattern, r.Handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		access, listed := g.policy.Routes[pattern]
		if pattern == "" && !listed {
			access = Access{Any: true} // the mux says that there is no such thing
		}
		p, err := g.http(access, pattern, r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		if p != nil {
			r = withoutProject(r.WithContext(NewContext(r.Context(), p)))
		}
		mux.ServeHTTP(w, r)
	})
}

// http lets one request in or returns the denial.
func (g *Guard) http(access Access, pattern string, r *http.Request) (*Principal, error) {
	c := &credentials{protocol: "http", what: pattern, project: r.URL.Query().Get(projectParameter)}
	c.address = remoteAddress(r)
	if values := r.Header.Values("Authorization"); len(values) > 1 {
		c.bearer = "more than one"
	} else if len(values) == 1 {
		c.bearer, c.basic = bearer(values[0])
	} else if cookie, err := r.Cookie(sessionCookie); err == nil {
		c.session = cookie.Value
	}
	if project := r.Header.Get("Strobe-Project"); project != "" {
		if c.project != "" && c.project != project {
			return nil, g.deny(c, &denial{reason: reasonProject, message: "two different projects are asked for"})
		}
		c.project = project
	}
	c.tenant = r.Header.Get("X-Scope-OrgID")
	if access.Open == "" {
		if err := g.checkSite(c, r); err != nil {
			return nil, g.deny(c, err)
		}
	}
	return g.authorize(access, c)
}

// remoteAddress returns the address of the client.
func remoteAddress(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}

// checkSite denies what a page of somebody else makes a browser ask for. A
// request with a token in its header comes from somebody who has the token; one
// with a cookie or a password, which browsers add by themselves, or with nothing
// where nothing is needed, may be anybody's.
func (g *Guard) checkSite(c *credentials, r *http.Request) error {
	crossSite := &denial{reason: reasonCrossSite, message: "this request comes from a page of another site"}
	if !g.Required() {
		if !g.ownHost(r.Host) {
			return &denial{
				reason:  reasonHost,
				message: "the name in the Host header is not one of this server: if it should be, give it with -allowed-hosts",
			}
		}
		if !g.sameOrigin(r) {
			return crossSite
		}
		return nil
	}
	if (c.session != "" || c.basic) && r.Method != http.MethodGet && r.Method != http.MethodHead && !g.sameOrigin(r) {
		return crossSite
	}
	return nil
}

// withoutProject removes the parameter that the guard has dealt with.
func withoutProject(r *http.Request) *http.Request {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !query.Has(projectParameter) {
		return r // what is wrong with it is not to get lost here
	}
	query.Del(projectParameter)
	u := *r.URL
	u.RawQuery = query.Encode()
	r.URL = &u // r is a copy already
	return r
}

// refuse answers a request that is denied.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusForbidden
	var d *denial
	if errors.As(err, &d) && d.who {
		if d.wait > 0 {
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.wait.Seconds()))))
		} else {
			status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", `Bearer realm="strobe"`)
		}
	}
	answerError(w, r, status, err.Error())
}

// answerError answers as the API does, or by the Connect protocol to who speaks that: JSON, but plain text for the command-line
// pprof, which shows nothing else and is known by sending no Accept header.
func answerError(w http.ResponseWriter, r *http.Request, status int, message string) {
	if connect.IsCall(r) {
		connect.Refuse(w, &connect.Error{Status: status, Message: message})
		return
	}
	if r.Header.Get("Accept") == "" {
		w.Header().Set("X-Go-Pprof", "1")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(message + "\n")) //nolint:gosec // plain text, and nosniff keeps it that
		return
	}
	answerJSON(w, status, map[string]any{"error": map[string]any{"parameter": "", "position": 0, "message": message}})
}

// answerJSON answers with a value.
func answerJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // values of this package can be encoded
		status, b = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// milliseconds returns a time for JSON, 0 for none.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// returnQuery returns a query of the page to go back to, "" if it is not one.
func returnQuery(text string) string {
	if len(text) > 4096 || text == "" || text[0] != '?' {
		return ""
	}
	values, err := url.ParseQuery(text[1:])
	if err != nil {
		return ""
	}
	return "?" + values.Encode()
}

// SPDX-License-Identifier: Apache-2.0

package auth

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// sessionCookie is the name of the cookie with the session ID.
const sessionCookie = "strobe_session"

// maxLoginBytes bounds the form of a login.
const maxLoginBytes = 16 << 10

//go:embed login.html
var loginText string

var loginPage = template.Must(template.New("login").Parse(loginText))

// loginPolicy lets the page send its form to its own server, and nothing else.
const loginPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Routes returns the routes of the package: log in, log out, who am I, tokens.
func (g *Guard) Routes() []Route {
	return []Route{
		{"GET /login", http.HandlerFunc(g.showLogin)},
		{"POST /login", http.HandlerFunc(g.login)},
		{"POST /logout", http.HandlerFunc(g.logout)},
		{"GET /api/v1/whoami", http.HandlerFunc(g.whoami)},
		{"GET /api/v1/tokens", http.HandlerFunc(g.tokens)},
	}
}

func (g *Guard) showLogin(w http.ResponseWriter, r *http.Request) {
	g.renderLogin(w, http.StatusOK, "", returnQuery(r.URL.Query().Get("return")))
}

// renderLogin answers with the form.
func (g *Guard) renderLogin(w http.ResponseWriter, status int, problem, back string) {
	var page strings.Builder
	data := struct {
		Problem, Return string
		Needed, Locked  bool
	}{problem, back, g.Required(), g.Locked()}
	if err := loginPage.Execute(&page, data); err != nil {
		g.logger.Error("render the login page", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", loginPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	// With no-referrer browsers would send "Origin: null" with the form.
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page.String()))
}

// login exchanges a token for a session. All addresses in the answer are
// relative, so that it works behind a prefix that a proxy strips.
func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginBytes)
	if err := r.ParseForm(); err != nil {
		g.renderLogin(w, http.StatusBadRequest, "This is not the form of the login page.", "")
		return
	}
	back := returnQuery(r.PostForm.Get("return"))
	c := &credentials{protocol: "http", what: "login", bearer: strings.TrimSpace(r.PostForm.Get("token"))}
	c.address = remoteAddress(r)
	if !g.sameOrigin(r) { // somebody could log people in as himself
		err := g.deny(c, &denial{reason: reasonCrossSite, message: "The form was sent from a page of another site."})
		g.renderLogin(w, http.StatusForbidden, err.Error(), back)
		return
	}
	if !g.Required() {
		redirect(w, "./"+back)
		return
	}
	p, err := g.authorize(Access{Role: RoleQuery}, c)
	if err != nil {
		status, message := loginProblem(err)
		g.renderLogin(w, status, message, back)
		return
	}
	id := g.sessions.create(p.TokenID, p.digest, g.now())
	http.SetCookie(w, g.cookie(r, id, sessionAbsolute))
	g.logger.Info("logged in", "token", p.TokenID, "project", p.Scope, "client", c.address)
	redirect(w, "./"+back)
}

// loginProblem returns what to tell a person whose token is not accepted.
func loginProblem(err error) (status int, message string) {
	d, ok := err.(*denial) //nolint:errorlint // authorize returns nothing else
	switch {
	case !ok:
		return http.StatusForbidden, "This token is not accepted."
	case d.wait > 0:
		return http.StatusTooManyRequests, "Too many failed attempts, try again in a minute."
	case d.reason == reasonMissing:
		return http.StatusUnauthorized, "Enter a token."
	case d.reason == reasonRole:
		return http.StatusForbidden, "This token cannot look at data: it lacks the role query."
	}
	return http.StatusUnauthorized, strings.ToUpper(d.message[:1]) + d.message[1:] + "."
}

func (g *Guard) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		g.sessions.end(c.Value)
	}
	http.SetCookie(w, g.cookie(r, "", -time.Second))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// cookie returns the cookie of a session. It has no path: browsers then take the
// folder of the login page, which is right behind a prefix as well.
func (g *Guard) cookie(r *http.Request, id string, age time.Duration) *http.Cookie {
	// Whoever forges the header only keeps his own cookie from being sent in the clear.
	secure := r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
	return &http.Cookie{ //nolint:gosec // Secure where the browser came by TLS
		Name: sessionCookie, Value: id, MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}

// redirect sends the browser on. [http.Redirect] would make the address
// absolute, and so wrong behind a prefix.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

type whoamiAnswer struct {
	Auth       bool     `json:"auth"`
	Project    string   `json:"project"`
	ServerWide bool     `json:"server_wide"`
	Projects   []string `json:"projects"`
	Roles      []string `json:"roles"`
	Token      string   `json:"token"`
	TokenName  string   `json:"token_name"`
	Session    bool     `json:"session"`
}

func (g *Guard) whoami(w http.ResponseWriter, r *http.Request) {
	p, ok := From(r.Context())
	if !ok {
		answerError(w, r, http.StatusForbidden, messages[reasonUnlisted])
		return
	}
	a := whoamiAnswer{
		Auth: g.Required(), Project: p.Project, ServerWide: p.ServerWide(), Projects: []string{p.Project},
		Roles: p.Roles.Names(), Token: p.TokenID, TokenName: p.TokenName, Session: p.Session,
	}
	if p.ServerWide() && g.registry != nil {
		a.Projects = g.registry.state().projects
	}
	answerJSON(w, http.StatusOK, a)
}

type tokenAnswer struct {
	ID         string   `json:"id"`
	Project    string   `json:"project"`
	Name       string   `json:"name"`
	Roles      []string `json:"roles"`
	State      string   `json:"state"`
	CreatedMs  int64    `json:"created_ms"`
	ExpiresMs  int64    `json:"expires_ms"`
	LastUsedMs int64    `json:"last_used_ms"`
}

// tokens lists the tokens that the asking one may know of: those of its project,
// or, with one of all projects, all.
func (g *Guard) tokens(w http.ResponseWriter, r *http.Request) {
	p, ok := From(r.Context())
	if !ok {
		answerError(w, r, http.StatusForbidden, messages[reasonUnlisted])
		return
	}
	list := []tokenAnswer{}
	if g.registry != nil {
		now := g.now()
		for _, t := range g.registry.state().tokens {
			if t.Project != p.Scope && !p.ServerWide() {
				continue
			}
			list = append(list, tokenAnswer{
				ID: t.ID, Project: t.Project, Name: t.Name, Roles: t.roles.Names(), State: t.State(now),
				CreatedMs: milliseconds(t.Created), ExpiresMs: milliseconds(t.Expires), LastUsedMs: t.used.Load() / int64(time.Millisecond),
			})
		}
	}
	slices.SortFunc(list, func(a, b tokenAnswer) int { return strings.Compare(a.ID, b.ID) })
	answerJSON(w, http.StatusOK, map[string]any{"tokens": list})
}

// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	fileVersion = 1
	// maxFileKiB bounds the file: it is read as a whole, and by a server at work.
	maxFileKiB = 16 << 10
	maxProject = 64
	maxComment = 200

	// AllProjects is the project of tokens for the whole server.
	AllProjects = "*"
)

// File is what is in the file of projects and tokens.
type File struct {
	Version int `json:"version"`
	// Needs is the first version of Strobe that knows Version. Only later versions write it.
	Needs    string    `json:"needs,omitempty"`
	Projects []Project `json:"projects"`
	Tokens   []Token   `json:"tokens"`
}

// Project keeps data apart from that of other projects.
type Project struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Token is what is stored of a token.
type Token struct {
	ID string `json:"id"`
	// Project is [AllProjects] for a token of the whole server.
	Project string   `json:"project"`
	Roles   []string `json:"roles"`
	// Name says what the token is for.
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	// Expires is zero for a token that does not.
	Expires time.Time `json:"expires,omitzero"`
	Secret  Digest    `json:"secret_sha256"`
	// Previous is the secret before the last rotation, which is good until
	// PreviousUntil.
	Previous      Digest    `json:"previous_sha256,omitzero"`
	PreviousUntil time.Time `json:"previous_until,omitzero"`
}

// expired reports whether the token is of no use any more.
func (t *Token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// State returns active, rotating (the secret before is still good) or expired.
func (t *Token) State(now time.Time) string {
	switch {
	case t.expired(now):
		return "expired"
	case now.Before(t.PreviousUntil):
		return "rotating"
	}
	return "active"
}

// CheckProject checks the name of a project.
func CheckProject(name string) error {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	if name == "" || len(name) > maxProject || !consistsOf(name, alphabet) {
		return fmt.Errorf("%q is not the name of a project: expected 1 to %d of a-z, 0-9, -, _ and .", name, maxProject) //nolint:revive,staticcheck // the last character is one of them
	}
	return nil
}

// checkComment checks what a token is called.
func checkComment(name string) error {
	if len(name) > maxComment || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%q is not the name of a token: expected at most %d bytes of printable text", name, maxComment)
	}
	return nil
}

// decodeFile reads the file. What it does not know is an error, as a setting
// that is ignored could be one that was to keep somebody out.
func decodeFile(b []byte) (*File, error) {
	var newer struct {
		Version int    `json:"version"`
		Needs   string `json:"needs"`
	}
	// A file of a later version has more than this one knows, so that comes first.
	if err := json.Unmarshal(b, &newer); err == nil && newer.Version > fileVersion {
		use := "the version of Strobe that wrote it"
		if newer.Needs != "" {
			use = fmt.Sprintf("Strobe %q or newer", newer.Needs)
		}
		return nil, fmt.Errorf("version: is %d, this program knows version %d: use %s", newer.Version, fileVersion, use)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	f := &File{}
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("is not what it should be: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something behind its end")
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// check returns what is wrong with the file, nil if nothing is.
func (f *File) check() error {
	if f.Version != fileVersion {
		return fmt.Errorf("version: is %d, this program knows version %d", f.Version, fileVersion)
	}
	projects := map[string]bool{}
	for i, p := range f.Projects {
		if err := CheckProject(p.Name); err != nil {
			return fmt.Errorf("projects[%d].name: %w", i, err)
		}
		if projects[p.Name] {
			return fmt.Errorf("projects[%d].name: %s is there twice", i, p.Name)
		}
		projects[p.Name] = true
	}
	ids := map[string]bool{}
	for i := range f.Tokens {
		t := &f.Tokens[i]
		if err := t.check(); err != nil {
			return fmt.Errorf("tokens[%d].%w", i, err)
		}
		if ids[t.ID] {
			return fmt.Errorf("tokens[%d].id: %s is there twice", i, t.ID)
		}
		ids[t.ID] = true
		if t.Project != AllProjects && t.Project != DefaultProject && !projects[t.Project] {
			return fmt.Errorf("tokens[%d].project: there is no project %s", i, t.Project)
		}
	}
	return nil
}

// check returns what is wrong with the token.
func (t *Token) check() error {
	if !validID(t.ID) {
		return fmt.Errorf("id: expected %d of a-z and 0-9", idLength)
	}
	roles, err := rolesOf(t.Roles)
	if err != nil {
		return fmt.Errorf("roles: %w", err)
	}
	if err := checkScope(t.Project, roles); err != nil {
		return err
	}
	if err := checkComment(t.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	switch {
	case t.Secret.IsZero():
		return errors.New("secret_sha256: is missing")
	case t.Previous.IsZero() != t.PreviousUntil.IsZero():
		return errors.New("previous_until: goes together with previous_sha256")
	}
	return nil
}

// checkScope checks the project of a token together with its roles.
func checkScope(project string, roles Roles) error {
	if project == AllProjects {
		// An agent's data must belong to one project.
		if roles&RoleIngest != 0 {
			return errors.New("roles: a token of all projects cannot have the role ingest, which needs one project")
		}
		return nil
	}
	if err := CheckProject(project); err != nil {
		return fmt.Errorf("project: %w", err)
	}
	return nil
}

// HasProject reports whether a project exists; the default one always does.
func (f *File) HasProject(name string) bool {
	return name == DefaultProject || slices.ContainsFunc(f.Projects, func(p Project) bool { return p.Name == name })
}

// token returns the token with an ID, nil if there is none.
func (f *File) token(id string) *Token {
	for i := range f.Tokens {
		if f.Tokens[i].ID == id {
			return &f.Tokens[i]
		}
	}
	return nil
}

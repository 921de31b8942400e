// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNotFound is returned (wrapped) when there is no such token or project.
var ErrNotFound = errors.New("does not exist")

// ErrInUse is returned (wrapped) when a project cannot be removed because of its tokens.
var ErrInUse = errors.New("still has tokens")

// ErrExpired is returned (wrapped) when a token is of no use any more.
var ErrExpired = errors.New("expired")

// ErrExists is returned (wrapped) when a project is there already.
var ErrExists = errors.New("exists already")

// NewToken says what a token is to be.
type NewToken struct {
	Project string
	Roles   Roles
	Name    string
	// Expires is zero for a token that does not.
	Expires time.Time
}

// CreateToken adds a token and returns its text, which cannot be had again.
func (f *File) CreateToken(n NewToken, now time.Time) (text string, id string, err error) {
	if err := checkScope(n.Project, n.Roles); err != nil {
		return "", "", err
	}
	if n.Project != AllProjects && !f.HasProject(n.Project) {
		return "", "", fmt.Errorf("project %s %w", n.Project, ErrNotFound)
	}
	if err := checkComment(n.Name); err != nil {
		return "", "", err
	}
	secret, digest := newSecret()
	t := Token{
		ID: randomText(idLength, idAlphabet), Project: n.Project, Roles: n.Roles.Names(), Name: n.Name,
		Created: now.UTC().Truncate(time.Second), Expires: n.Expires.UTC().Truncate(time.Second), Secret: digest,
	}
	f.Tokens = append(f.Tokens, t)
	return tokenText(t.ID, secret), t.ID, nil
}

// RotateToken gives a token a new secret and returns its new text. The secret
// before stays good for the grace period; one of an earlier rotation does not. The
// time at which the token expires stays.
func (f *File) RotateToken(id string, grace time.Duration, now time.Time) (text string, err error) {
	t := f.token(id)
	if t == nil {
		return "", fmt.Errorf("token %s %w", id, ErrNotFound)
	}
	if t.expired(now) { // a new secret would be as worthless
		return "", fmt.Errorf("token %s %w on %s: create another one", id, ErrExpired, t.Expires.UTC().Format(time.DateTime))
	}
	old := t.Secret
	secret, digest := newSecret()
	t.Secret, t.Previous, t.PreviousUntil = digest, Digest{}, time.Time{}
	if grace > 0 {
		t.Previous, t.PreviousUntil = old, now.Add(grace).UTC().Truncate(time.Second)
	}
	return tokenText(id, secret), nil
}

// RevokeToken removes a token.
func (f *File) RevokeToken(id string) error {
	if f.token(id) == nil {
		return fmt.Errorf("token %s %w", id, ErrNotFound)
	}
	f.Tokens = slices.DeleteFunc(f.Tokens, func(t Token) bool { return t.ID == id })
	return nil
}

// CreateProject adds a project.
func (f *File) CreateProject(name string, now time.Time) error {
	if err := CheckProject(name); err != nil {
		return err
	}
	if f.HasProject(name) {
		return fmt.Errorf("project %s %w", name, ErrExists)
	}
	f.Projects = append(f.Projects, Project{Name: name, Created: now.UTC().Truncate(time.Second)})
	return nil
}

// RemoveProject removes a project that has no tokens. Its data stays.
func (f *File) RemoveProject(name string) error {
	if !slices.ContainsFunc(f.Projects, func(p Project) bool { return p.Name == name }) {
		return fmt.Errorf("project %s %w", name, ErrNotFound)
	}
	if slices.ContainsFunc(f.Tokens, func(t Token) bool { return t.Project == name }) {
		return fmt.Errorf("project %s %w", name, ErrInUse)
	}
	f.Projects = slices.DeleteFunc(f.Projects, func(p Project) bool { return p.Name == name })
	return nil
}

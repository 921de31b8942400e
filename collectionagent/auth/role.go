// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"errors"
	"fmt"
	"strings"
)

// Roles is a set of roles. A role is a set of one.
type Roles uint8

// Roles that a token may have.
const (
	// RoleIngest may send data.
	RoleIngest Roles = 1 << iota
	// RoleQuery may ask for data.
	RoleQuery
	// RoleAdmin may do everything, and see the state of tokens.
	RoleAdmin
)

var roleNames = []struct {
	role Roles
	name string
}{{RoleIngest, "ingest"}, {RoleQuery, "query"}, {RoleAdmin, "admin"}}

// Has reports whether the set allows what the role does.
func (r Roles) Has(role Roles) bool { return r&(role|RoleAdmin) != 0 }

// Names lists the roles of the set.
func (r Roles) Names() []string {
	names := []string{}
	for _, n := range roleNames {
		if r&n.role != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// String returns the names, separated by commas.
func (r Roles) String() string { return strings.Join(r.Names(), ",") }

// rolesOf returns the set of the roles with the given names, each given once.
func rolesOf(names []string) (Roles, error) {
	var set Roles
next:
	for _, name := range names {
		for _, n := range roleNames {
			if n.name == name {
				if set&n.role != 0 {
					return 0, fmt.Errorf("role %s is given twice", name)
				}
				set |= n.role
				continue next
			}
		}
		return 0, fmt.Errorf("%q is not a role: expected ingest, query or admin", name)
	}
	if set == 0 {
		return 0, errors.New("no role is given: expected ingest, query or admin")
	}
	return set, nil
}

// ParseRoles reads a list of roles that commas separate.
func ParseRoles(text string) (Roles, error) {
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return rolesOf(names)
}

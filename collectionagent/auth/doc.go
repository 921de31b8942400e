// SPDX-License-Identifier: Apache-2.0

// Package auth says who may do what: projects, which keep the data of one group
// of people apart from that of others, and tokens, which open one project, or
// with the project "*" all of them, for some roles.
//
// Projects and tokens stand in a file, which holds hashes of the secrets and not
// the secrets. [Edit] changes it, from any process; a [Guard] in the server reads
// it again within a second of a change. Every RPC and every HTTP request passes
// the guard, which looks up what it needs in one [Policy]. What is not in the
// policy is denied. Behind the guard, [From] tells the [Principal] of a request.
//
// People log in to the page with a token and get a cookie with a random session
// ID in its place. A session ends with its token.
//
// The guard never logs a token, and tells a client nothing about projects and
// tokens other than its own.
package auth

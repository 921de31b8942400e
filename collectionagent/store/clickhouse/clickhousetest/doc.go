// SPDX-License-Identifier: Apache-2.0

// Package clickhousetest runs ClickHouse servers for tests, on loopback, with
// their own data in a directory of the test. They end with the test, and with the
// process should it end otherwise.
//
// There are three kinds. [StartLegacy] is the server of Debian 12, version 18.16:
// too old for users, but a real server behind a socket. [StartReplicas] is two of
// them and ZooKeeper as one cluster. [StartCurrent] is the current engine, a
// library that can be had from the npm registry, in a process of its own behind our
// side of the native protocol; it knows everything but replication.
//
// support/test-deps.sh installs them. A package that uses [StartCurrent] must call
// [ServeCurrent] first thing in TestMain.
package clickhousetest

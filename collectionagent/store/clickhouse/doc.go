// SPDX-License-Identifier: Apache-2.0

// Package clickhouse is the store of a fleet that one machine cannot hold: tables
// on ClickHouse servers. Any number of collection agents may share a database.
package clickhouse

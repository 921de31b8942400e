// SPDX-License-Identifier: Apache-2.0

// Package memstore is a store of profiles in memory. It is as simple as it can
// be, so that it can serve as the model that every other engine is compared
// with, and as the store of tests. Nothing of it survives the process.
package memstore

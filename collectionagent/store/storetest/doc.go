// SPDX-License-Identifier: Apache-2.0

// Package storetest proves that an engine keeps the promises of
// [store.Store], by doing the same to it and to the model,
// [github.com/strobe-profiler/strobe/collectionagent/store/memstore], and
// comparing the answers.
//
// An engine's test calls [Run] with a function that opens it. An engine that
// survives its process also calls [Crash], and [CrashChild] first thing in TestMain.
package storetest

// SPDX-License-Identifier: Apache-2.0

// Package profilemetrics makes metrics for Prometheus of profiles: how much rules of a
// file select, and which share of it functions have. docs/prometheus.md describes the file and
// the metrics.
//
// A rule is worked on once in an interval, over the interval that has just passed, so that
// what is added up over time is what the profiles add up to. What a rule can export is bounded by
// the file: groups times functions.
package profilemetrics

// SPDX-License-Identifier: Apache-2.0

// Package pyroscope answers what Grafana's data source for Pyroscope asks, and what other clients of
// Pyroscope do: querier.v1.QuerierService over the Connect protocol, and the older /pyroscope/render and
// /pyroscope/render-diff. Questions have their turns and bounds from package [api], and
// their answers from package [query]; here is only what the other protocol calls things.
// docs/grafana.md describes it for those who use it.
//
// # Names
//
// A profile type of Pyroscope, as process_cpu:cpu:nanoseconds:cpu:nanoseconds, stands for a type of
// samples. The label service is called service_name. Labels whose names hold dots and
// the like, which its query language did not know for long, are told with underscores in
// their place, unless the client says that it takes them as they are.
//
// # Profiles
//
// Pyroscope stores profiles; here are samples. Where one of its profiles is needed, as for exemplars, averages and
// heatmaps, it is what one process used in a window of time, see profile.go. Its ID holds
// the window and a hash of the process, so that the profile can be found by it.
package pyroscope

// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"net/url"
	"time"
)

// config is what the file says.
type config struct {
	jobs []*job
}

// job is an entry of scrape_configs.
type job struct {
	name, project     string
	interval, timeout time.Duration
	scheme            string
	params            url.Values
	pathPrefix        string
	profiles          []wanted // those that are enabled, by name
	client            clientConfig
	bodyLimit         int64 // 0: what the server takes
	targetLimit       int   // 0: none of its own
	groups            []group
	files             []fileDiscovery
	rules             []rule
}

// group are targets with the same labels.
type group struct {
	targets []string
	labels  map[string]string
}

// fileDiscovery are files with targets.
type fileDiscovery struct {
	patterns []string
	refresh  time.Duration
}

// clientConfig is how targets are asked. It is comparable: jobs that are the same
// before and after a change of the file keep their connections.
type clientConfig struct {
	basic           bool
	username        string
	password        string
	passwordFile    string
	authorization   string // its type, "" for none
	credentials     string
	credentialsFile string
	tls             tlsConfig
	followRedirects bool
}

type tlsConfig struct {
	caFile, certFile, keyFile string
	serverName                string
	minVersion                string
	insecure                  bool
}

// wanted is one of the profiles that are fetched of each target.
type wanted struct {
	name string
	path string
	// seconds is how long the target takes it, 0: it answers at once.
	seconds int
	// delta is set when values count since the start of the target.
	delta   bool
	enabled bool
	keep    string // types of samples to keep, as "type/unit\n"..., "": all
}

// Defaults and bounds of the file. The interval is the one that Alloy has.
const (
	defaultInterval = 15 * time.Second
	defaultTimeout  = 10 * time.Second
	defaultRefresh  = 5 * time.Minute

	minInterval, maxInterval = time.Second, 24 * time.Hour
	minTimeout, maxTimeout   = 100 * time.Millisecond, time.Hour

	maxJobName = 200
)

// knownProfiles are those that need no path. seconds of -1 stands for all of the
// interval but one second, so that a request ends before the next one begins.
func knownProfiles() map[string]wanted {
	return map[string]wanted{
		"process_cpu":        {path: "/debug/pprof/profile", seconds: -1, enabled: true},
		"memory":             {path: "/debug/pprof/allocs", delta: true, enabled: true},
		"goroutine":          {path: "/debug/pprof/goroutine", enabled: true},
		"mutex":              {path: "/debug/pprof/mutex", delta: true, enabled: true},
		"block":              {path: "/debug/pprof/block", delta: true, enabled: true},
		"fgprof":             {path: "/debug/fgprof", seconds: -1},
		"godeltaprof_memory": {path: "/debug/pprof/delta_heap"},
		"godeltaprof_mutex":  {path: "/debug/pprof/delta_mutex"},
		"godeltaprof_block":  {path: "/debug/pprof/delta_block"},
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package dockertest starts an engine (dockerd) for a test and ends it again.
//
// The engine is private: its data, its socket, its containerd and its network are its own. It lives
// in a network namespace and a mount namespace that are made for it, so that it neither meets the
// bridges, firewall rules and ports of an engine that runs already, nor leaves any behind: they go
// with it. Only processes and cgroups are the host's, which is what a profiler wants.
//
// So addresses in that network are not reachable from the test as such: [Daemon.Client] and
// [Daemon.DialContext] reach ports that containers publish or listen on with network_mode host, and
// programs started with [Daemon.Command] see them too.
package dockertest

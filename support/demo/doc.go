// SPDX-License-Identifier: Apache-2.0

// Package demo tests the demo: docker-compose.yml with the shop, in an engine of its own, as
// docs/install.md and docs/demo.md say.
package demo

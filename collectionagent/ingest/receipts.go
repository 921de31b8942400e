// SPDX-License-Identifier: Apache-2.0

package ingest

import "github.com/strobe-profiler/strobe/collectionagent/fleet"

// Receipts returns what became of the samples that a project sent since the
// server started. Each time that a batch came counts.
func (s *Server) Receipts(project string) fleet.Receipts { return s.ledger.projects.Receipts(project) }

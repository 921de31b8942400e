// SPDX-License-Identifier: Apache-2.0

package clickhouse

import "time"

// SetTakeover sets how long an insert waits for another one of the same batch.
func (c *Config) SetTakeover(d time.Duration) { c.takeover = d }

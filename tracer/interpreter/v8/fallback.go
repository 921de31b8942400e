// SPDX-License-Identifier: Apache-2.0

package v8

// fallbackConstants returns what V8's table of constants would hold in a version,
// for embedders that build V8 without.
func fallbackConstants(version) map[string]int32 { return nil }

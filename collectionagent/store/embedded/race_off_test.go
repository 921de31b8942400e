// SPDX-License-Identifier: Apache-2.0

//go:build !race

package embedded

// raceEnabled says that everything takes ten times as long: tests that do a thing
// many times do it less often.
const raceEnabled = false

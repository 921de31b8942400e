// SPDX-License-Identifier: Apache-2.0

//go:build !race

package main

// raceEnabled says that the race detector takes memory, too.
const raceEnabled = false

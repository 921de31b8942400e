// SPDX-License-Identifier: Apache-2.0

// Command busy spins in one function until it is killed, or with -idle waits, as the
// first process of a pod does.
package main

import (
	"os"
	"time"
)

// At keeps the loop from being thought useless.
var At int

//go:noinline
func spinForTheTest() {
	for {
		At++
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-idle" {
		for {
			time.Sleep(time.Hour)
		}
	}
	spinForTheTest()
}

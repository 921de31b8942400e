// SPDX-License-Identifier: Apache-2.0

// Package arm64 runs the agent for arm64 on a kernel for arm64, in an emulated
// machine, on programs whose stacks are known. They are built here for arm64, or come
// from Debian's packages for it. What it recorded the last time, and on which kernel,
// is in testdata, and judged wherever the tests run.
//
//	go test ./agent/arm64                      # a C and a Go program: some three minutes
//	go test ./agent/arm64 -all                 # all of them: half an hour
//	go test ./agent/arm64 -all -update         # and keep the recording
//	go test ./agent/arm64 -all -suite bookworm # on another kernel of Debian
package arm64

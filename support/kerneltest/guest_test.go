// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os/exec"
	"testing"
)

func TestBegun(t *testing.T) {
	t.Parallel()
	stop, err := begun(exec.Command("sh", "-c", "echo starts; echo runs; exec sleep 600"), "runs")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := begun(exec.Command("sh", "-c", "echo starts"), "runs"); err == nil {
		t.Error("a program that ends has begun")
	}
}

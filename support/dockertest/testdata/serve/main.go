// SPDX-License-Identifier: Apache-2.0

// Command serve answers every request with the name of its host.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprint(w, name) //nolint:errcheck // for a test
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil)) //nolint:gosec // for a test
	os.Exit(1)
}

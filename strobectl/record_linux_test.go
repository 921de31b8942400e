// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestRecordError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"-p: there is no process 5":                       "-pid: there is no process 5",
		"-p: 5 is a thread of process 4: use -p 4":        "-pid: 5 is a thread of process 4: use -pid 4",
		"start command: fork/exec /no/such: no such file": "start command: fork/exec /no/such: no such file",
		"-o: open cpu-p.svg: no such file or directory":   "-o: open cpu-p.svg: no such file or directory",
	} {
		if got := recordError(errors.New(text)).Error(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	refused := fmt.Errorf("load programs: %w", os.ErrPermission)
	if got := strings.Count(hint("strobectl record", recordError(refused)), "root"); os.Geteuid() != 0 && got != 1 || os.Geteuid() == 0 && got != 0 {
		t.Errorf("root is named %d times: %s", got, hint("strobectl record", refused))
	}
}

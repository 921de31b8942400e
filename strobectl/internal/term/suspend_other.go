// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package term

import "os"

// Continued returns a channel on which nothing comes: programs are not stopped here.
func Continued() (again <-chan os.Signal, end func()) { return nil, func() {} }

func suspend() {}

// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package spool

import "errors"

func openDirectory(string) (directory, error) {
	return nil, errors.New("a spool needs a Unix system")
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/strobe-profiler/strobe/internal/smallfile"
)

// maxAuthorityKiB bounds the file, in case it is another one.
const maxAuthorityKiB = 64

// authority prints the certificate that agents trust the server by, where it made its
// own: in a container there may be nothing else that could print a file.
func authority(args, environ []string, stdout, stderr io.Writer) int {
	f := newCommandFlags("ca", "[flags]", stderr)
	f.help = "\nPrints what agents need as -tls-ca when the server made its certificate itself.\n"
	if _, status, ok := f.parse(args, environ, 0, ""); !ok {
		return status
	}
	path := filepath.Join(f.config.DataDir, "tls", "ca.pem")
	b, _, err := smallfile.Read(path, maxAuthorityKiB)
	if errors.Is(err, fs.ErrNotExist) {
		return f.fail(fmt.Errorf("%s is not there: the server makes it when it starts on an address that other machines can reach, without -tls-cert and -insecure", path))
	}
	if err != nil {
		return f.fail(fmt.Errorf("read authority: %w", err))
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" { // never a key
		return f.fail(fmt.Errorf("%s is no certificate", path))
	}
	if err := pem.Encode(stdout, block); err != nil {
		return f.fail(fmt.Errorf("print authority: %w", err))
	}
	f.hint("SHA-256 %X", sha256.Sum256(block.Bytes))
	return exitOK
}

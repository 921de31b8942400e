// SPDX-License-Identifier: Apache-2.0

package program

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// RefusedAddress returns a loopback address that refuses connections until the test ends. Its port
// is taken, so that the kernel gives it to nobody else: that of a listener that was closed may be
// another test's in the next moment.
func RefusedAddress(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socket", err))
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	// Not to listen is all that it takes to refuse.
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(os.NewSyscallError("getsockname", err))
	}
	bound, ok := address.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("bound to a %T", address)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.Port)
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// load loads a kernel module.
func load(path string) error {
	f, err := os.Open(path) //nolint:gosec // brought by the host
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", filepath.Base(path), err)
	}
	return nil
}

// port opens the virtio port of that name; without udev it has no other sign.
func port(name string) (*os.File, error) {
	const class = "/sys/class/virtio-ports"
	var found string
	err := eventually(func() bool {
		ports, _ := os.ReadDir(class)
		for _, p := range ports {
			b, _ := os.ReadFile(filepath.Join(class, p.Name(), "name"))
			if strings.TrimSpace(string(b)) == name {
				found = "/dev/" + p.Name()
				_, err := os.Stat(found)
				return err == nil
			}
		}
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("virtio port %s: %w", name, err)
	}
	return os.OpenFile(found, os.O_WRONLY, 0)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

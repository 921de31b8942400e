// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"net"
	"strings"
)

// Dialable turns an address to listen at, host:port, into one to connect to from the
// same host. What is no such address is returned as it is.
func Dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// IsServiceLink recognises, by what is behind the prefix of a program's settings, the
// variables by which Kubernetes tells every pod of a service with the program's name.
func IsServiceLink(name string) bool {
	return strings.HasPrefix(name, "SERVICE_") || name == "PORT" || strings.HasPrefix(name, "PORT_")
}

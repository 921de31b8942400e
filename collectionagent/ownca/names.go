// SPDX-License-Identifier: Apache-2.0

package ownca

import (
	"net"
	"os"
	"strings"
)

// maxAddresses bounds the certificate on machines with an address for each of
// their containers.
const maxAddresses = 64

// LocalNames returns what this machine is called by itself and by others: its host
// name, localhost, and the addresses of its interfaces.
func LocalNames() []string {
	var names []string
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	names = append(names, "localhost", "127.0.0.1", "::1")
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return names // a certificate for fewer names is better than none
	}
	room := maxAddresses
	for _, a := range addrs {
		prefix, ok := a.(*net.IPNet)
		// Link-local addresses need a zone, which a certificate cannot have.
		if !ok || prefix.IP.IsLoopback() || !prefix.IP.IsGlobalUnicast() || room == 0 {
			continue
		}
		names = append(names, prefix.IP.String())
		room--
	}
	return names
}

// ValidName reports whether a certificate can be for a name: a host name, perhaps
// with * as its first label, or an IP address.
func ValidName(name string) bool {
	if net.ParseIP(name) != nil {
		return true
	}
	name = strings.TrimPrefix(name, "*.")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
				return false
			}
		}
	}
	return true
}

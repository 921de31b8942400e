// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// sameOrigin reports whether a request comes from the server's own pages, from
// the address bar, or from a program. Browsers say so in Sec-Fetch-Site, but not
// to servers without TLS on another machine; those look at Origin, which is
// there unless the request is a GET.
func (g *Guard) sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false // same-site too: other ports of this host are not this server
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false // as in "null"
	}
	return strings.EqualFold(u.Host, r.Host) || g.hosts[hostName(u.Host)]
}

// ownHost reports whether a Host header names this server while no token is
// needed. A page of a stranger can make its own name point here and would then
// be of the same origin as the API; but a name it needs for that.
func (g *Guard) ownHost(host string) bool {
	name := hostName(host)
	if g.hosts[name] || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (ip.Unmap().IsLoopback() || g.reachable)
}

// hostName returns the name or address in a host with or without a port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

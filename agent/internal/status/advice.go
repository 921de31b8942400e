// SPDX-License-Identifier: Apache-2.0

package status

import "strings"

// Advise says what to do about a delivery that does not work, "" when nothing
// is known that would help. It goes by the text of the error, as the errors of
// gRPC, HTTP and TLS leave nothing else.
func (d *Delivery) Advise() string {
	if d.State == Connected || d.LastError == "" {
		return ""
	}
	peer, flag := d.peer()
	fill := strings.NewReplacer("ADDRESS", d.CollectionAgent, "PEER", peer, "FLAG", flag)
	text := strings.ToLower(d.LastError)
	for _, a := range advices {
		for _, mark := range a.marks {
			if !strings.Contains(text, mark) {
				continue
			}
			if a.otlp != "" && flag == "-otlp-endpoint" {
				return fill.Replace(a.otlp)
			}
			return fill.Replace(a.advice)
		}
	}
	switch d.State {
	case "refused":
		return fill.Replace("see the log of the PEER at ADDRESS for why it refuses this agent")
	case "overloaded":
		return fill.Replace("nothing here: samples wait until the PEER has room; give it more, or let agents take fewer samples")
	}
	return fill.Replace("see that the PEER runs at ADDRESS and can be reached from here")
}

// advices are tried in order; the more special ones come first.
var advices = []struct {
	marks  []string
	advice string
	otlp   string // what to say of a backend of OTLP, "" if it is the same
}{
	{[]string{"certificate signed by unknown authority", "certificate is not trusted"}, "give the certificate that signed the PEER's own with -tls-ca", ""},
	{[]string{"certificate has expired", "not yet valid"}, "renew the certificate of the PEER, and see that the clocks of both hosts are right", ""},
	{[]string{"certificate is valid for", "doesn't contain any ip sans", "cannot validate certificate for"}, "use the name in the PEER's certificate in FLAG, or give it a certificate for ADDRESS", ""},
	{[]string{"certificate required", "bad certificate", "unknown certificate"}, "give a certificate that the PEER trusts with -tls-cert and -tls-key", ""},
	{
		[]string{"first record does not look like a tls handshake", "http response to https client"},
		"the PEER at ADDRESS does not encrypt: give it a certificate, or give this agent -disable-tls",
		"the PEER at ADDRESS does not encrypt: give it a certificate, or write http:// in FLAG",
	},
	{
		[]string{"error reading server preface", "http2: frame too large", "malformed http response"},
		"the PEER at ADDRESS may want TLS: leave out -disable-tls, or give -tls-ca",
		"the PEER at ADDRESS may want TLS: write https:// in FLAG; or this is the port of the other -otlp-protocol",
	},
	{[]string{"token file", "token-file"}, "put the token into the file of -token-file, readable for this agent only", ""},
	{[]string{"headers file", "headers-file"}, "write the headers into the file of -otlp-headers-file, readable for this agent only", ""},
	{
		[]string{"unauthenticated", "401 unauthorized"},
		"give a token that the PEER knows with -token-file; \"collectionagent token create\" makes one",
		"give what the PEER wants: a token with -token-file, or other headers with -otlp-headers-file",
	},
	{
		[]string{"permissiondenied", "permission denied", "403 forbidden"},
		"the token of -token-file may not send profiles: make one with the role ingest",
		"the token or the headers may not send profiles to the PEER: use others",
	},
	{
		[]string{"unimplemented", "failedprecondition", "404 not found", "405 method not allowed", "415 unsupported media type"},
		"agent and PEER do not fit together: update the older one, and see that ADDRESS is its gRPC port",
		"nothing takes profiles (v1development) at ADDRESS: see that FLAG and -otlp-protocol fit together, and that the PEER has profiles on; a Collector needs them in a pipeline and --feature-gates=service.profilesSupport",
	},
	{[]string{"the backend is elsewhere"}, "correct FLAG: the error says where the PEER is", ""},
	{[]string{"is no otlp receiver"}, "correct FLAG: what answers at ADDRESS is something else", ""},
	{[]string{"connection refused"}, "nothing listens at ADDRESS: start the PEER, or correct FLAG", ""},
	{[]string{"no such host", "server misbehaving"}, "the name in FLAG, ADDRESS, is not known on this host", ""},
	{[]string{"no route to host", "network is unreachable", "i/o timeout", "deadlineexceeded", "deadline exceeded"}, "see that ADDRESS can be reached from here and that no firewall is between", ""},
}

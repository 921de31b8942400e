// SPDX-License-Identifier: Apache-2.0

// Collectionagent is the server of Strobe: agents send it profiles over gRPC,
// it stores them on local disk, and serves queries and a web page over HTTP.
//
// Without any flag it stores under ./strobe-data and listens on loopback only.
// "collectionagent -help" lists the settings and where they may come from.
package main

// SPDX-License-Identifier: Apache-2.0

// Package ingest takes in what agents send over gRPC.
//
// A request is data of a stranger. Every column length, index, hash, time and
// text is checked before anything is stored; what is wrong is answered with
// InvalidArgument that names the field, in words and as google.rpc.BadRequest,
// and nothing of the request is stored. What is right is stored durably before
// it is acknowledged.
package ingest

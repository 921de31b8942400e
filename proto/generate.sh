#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Generates the Go code of the protocol. Needs protoc (Debian: protobuf-compiler).
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
PATH="$bin:$PATH"
protoc --go_out=. --go_opt=paths=source_relative collectionagent/v1/collectionagent.proto pyroscope/push.proto parca/profilestore.proto \
	pyroscope/profile/profile.proto pyroscope/types/types.proto pyroscope/querier/querier.proto
# What is pushed to Pyroscope's services and asked of them comes by the Connect protocol.
protoc --go-grpc_out=. --go-grpc_opt=paths=source_relative collectionagent/v1/collectionagent.proto parca/profilestore.proto

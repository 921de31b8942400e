// SPDX-License-Identifier: Apache-2.0

//go:build linux && (386 || amd64 || arm64)

package support

// Object returns the compiled eBPF object of the sampler, as it is embedded. It must not be changed.
func Object() []byte { return _StrobeBytes }

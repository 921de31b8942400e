// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// PauseImage is the image that a containerd of [ContainerdConfig] starts pods with. A test
// makes it, with [Archive]: nothing is pulled.
const PauseImage = "test/pause:1"

// ContainerdConfig writes the configuration of a containerd of a test's own and returns its
// path. All that it keeps is below dir, and it answers at socket. The programs of networks
// for pods are in plugins, what is to be done with them in networks.
func ContainerdConfig(t testing.TB, dir, socket, plugins, networks string) string {
	t.Helper()
	path := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = %[3]q
[ttrpc]
  address = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/%[7]s"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[5]q
    conf_dir = %[6]q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, filepath.Join(dir, "ttrpc.sock"), plugins, networks, PauseImage)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

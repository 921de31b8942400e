// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Archive makes an archive, as docker save does, of an image of a static program and nothing
// else, for runtimes that build none. The program has its own name in the image, and is
// what a container of it starts, with these arguments.
func Archive(t testing.TB, program string, arguments []string, tags ...string) []byte {
	t.Helper()
	binary, err := os.ReadFile(program) //nolint:gosec // named by a test
	if err != nil {
		t.Fatal(err)
	}
	pack := func(files map[string][]byte) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for name, content := range files {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	name := filepath.Base(program)
	layer := pack(map[string][]byte{name: binary})
	sum := sha256.Sum256(layer)
	type object = map[string]any
	config := encode(object{
		"architecture": runtime.GOARCH, "os": "linux", "config": object{"Entrypoint": append([]string{"/" + name}, arguments...)},
		"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	manifest := encode([]object{{"Config": "config.json", "RepoTags": tags, "Layers": []string{"layer.tar"}}})
	return pack(map[string][]byte{"config.json": config, "layer.tar": layer, "manifest.json": manifest})
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSBOM holds the list of parts against the schema of CycloneDX, which is in its library.
func TestSBOM(t *testing.T) {
	t.Parallel()
	dir, _ := releases(t)
	library := strings.TrimSpace(output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	c := jsonschema.NewCompiler()
	for url, name := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":  "bom-1.6.schema.json",
		"http://cyclonedx.org/schema/spdx.schema.json":     "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		f, err := os.Open(filepath.Join(library, "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		_ = f.Close()
		if err == nil {
			err = c.AddResource(url, doc)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file(t, dir, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	bom, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(bom); err != nil {
		t.Errorf("%#v", err)
	}
	// The binaries say themselves which modules are in them.
	into := t.TempDir()
	output(t, "tar", "-xf", file(t, dir, "*.tar.gz"), "-C", into, "--strip-components=1")
	modules := 0
	for _, p := range programs {
		for line := range strings.Lines(output(t, "go", "version", "-m", filepath.Join(into, "bin", p.name))) {
			fields := strings.Fields(line)
			if len(fields) < 3 || fields[0] != "dep" {
				continue
			}
			modules++
			if purl := `"pkg:golang/` + fields[1] + "@" + strings.ReplaceAll(fields[2], "+", "%2B") + `"`; !strings.Contains(string(b), purl) {
				t.Errorf("%s has %s, which is not listed", p.name, purl)
			}
		}
	}
	if modules < 30 {
		t.Errorf("%d modules in the binaries", modules)
	}
}

// TestNotices says that every module has its licence in the file.
func TestNotices(t *testing.T) {
	t.Parallel()
	dir, _ := releases(t)
	into := t.TempDir()
	output(t, "tar", "-xf", file(t, dir, "*.tar.gz"), "-C", into, "--strip-components=1")
	b, err := os.ReadFile(filepath.Join(into, "THIRD_PARTY_NOTICES"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		for line := range strings.Lines(output(t, "go", "version", "-m", filepath.Join(into, "bin", p.name))) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "dep" && !bytes.Contains(b, []byte("\n"+fields[1]+" "+fields[2]+", ")) {
				t.Errorf("no licence of %s", fields[1])
			}
		}
	}
	for _, text := range []string{"Go and its standard library", "Preact", "libbpf", "cilium/ebpf"} {
		if !bytes.Contains(b, []byte(text)) {
			t.Errorf("no licence of %s", text)
		}
	}
}

// TestRecognise shows which licences are known, and which are refused.
func TestRecognise(t *testing.T) {
	t.Parallel()
	f := func(want string, texts ...string) {
		t.Helper()
		m := &module{path: "m", files: map[string][]byte{}}
		for i, text := range texts {
			m.files["LICENSE"+strings.Repeat(".x", i)] = []byte(text)
		}
		err := m.recognise()
		if got := strings.Join(m.licenses, ","); got != want || (want == "") != (err != nil) {
			t.Errorf("%q: %q, %v", texts, got, err)
		}
	}
	const bsd = "Redistribution and use in source and\n binary forms ... this list of conditions"
	f("Apache-2.0", "Apache License\n  Version 2.0, January 2004")
	f("BSD-2-Clause", bsd)
	f("BSD-3-Clause", bsd+" ... to endorse or promote products")
	f("Apache-2.0,BSD-2-Clause", "Apache License Version 2.0", bsd)
	f("")
	f("", "All rights reserved.")
	f("", "GNU GENERAL PUBLIC LICENSE Version 3")
	f("", "Apache License Version 2.0", "GNU Affero General Public License")
}

// TestImages reads the archives as an engine would, and has one load them if it runs.
func TestImages(t *testing.T) {
	t.Parallel()
	dir, _ := releases(t)
	for _, i := range imaged {
		path := file(t, dir, i.name+"_*.image.tar")
		blobs := readTar(t, path)
		for name, b := range blobs {
			if sum, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && sum != "" && digest(b) != "sha256:"+sum {
				t.Errorf("%s has another content", name)
			}
		}
		blob := func(d descriptor) []byte {
			b := blobs["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
			if len(b) != d.Size || d.Size == 0 {
				t.Errorf("%s: %d bytes of %d", d.Digest, len(b), d.Size)
			}
			return b
		}
		decode := func(b []byte, v any) {
			t.Helper()
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			if err := d.Decode(v); err != nil {
				t.Errorf("%v: %s", err, b)
			}
		}
		var index ociIndex
		var manifest ociManifest
		var config imageConfig
		var docker []dockerManifest
		decode(blobs["index.json"], &index)
		decode(blob(index.Manifests[0]), &manifest)
		decode(blob(manifest.Config), &config)
		decode(blobs["manifest.json"], &docker)
		if digest(blob(manifest.Layers[0])) != config.RootFS.DiffIDs[0] || config.Architecture != runtime.GOARCH {
			t.Errorf("%+v", config)
		}
		if len(docker) != 1 || blobs[docker[0].Config] == nil || blobs[docker[0].Layers[0]] == nil {
			t.Errorf("%+v", docker)
		}
		if exec.Command("docker", "info").Run() != nil {
			continue // what is above holds without an engine
		}
		tag := docker[0].RepoTags[0]
		output(t, "docker", "load", "-i", path)
		t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", tag).Run() })
		if got := output(t, "docker", "run", "--rm", tag, "version"); !strings.HasPrefix(got, i.command+" "+made.version+" ") {
			t.Errorf("%s: %s", tag, got)
		}
	}
}

func readTar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	files := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = b
	}
}

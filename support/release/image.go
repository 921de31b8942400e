// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Forms of the image specification of OCI, and of what docker save writes: one archive
// is both, so that every engine loads it.
type (
	descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
		Platform    *platform         `json:"platform,omitempty"`
	}
	platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	ociManifest struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Config        descriptor        `json:"config"`
		Layers        []descriptor      `json:"layers"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}
	ociIndex struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}
	imageConfig struct {
		platform
		Created time.Time `json:"created"`
		Config  struct {
			Env        []string
			Entrypoint []string
			Labels     map[string]string
		} `json:"config"`
		RootFS struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []history `json:"history"`
	}
	history struct {
		Created   time.Time `json:"created"`
		CreatedBy string    `json:"created_by"`
	}
	dockerManifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
)

const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// imaged are the programs that there are images of: the command in the image is the
// same as in those of support/docker.
var imaged = []struct{ command, name string }{
	{"agent", "strobe-agent"},
	{"collectionagent", "strobe-collectionagent"},
}

// images makes an archive with an image for each of the two services.
func (r *release) images(arch string, texts map[string][]byte) error {
	for _, i := range imaged {
		binary, err := os.ReadFile(r.binary(arch, i.name))
		if err != nil {
			return err
		}
		var layer bytes.Buffer
		if err := writeTar(&layer, sortEntries([]entry{
			{i.command, 0o755, binary},
			{"usr/share/doc/" + i.name + "/LICENSE", 0o644, texts["LICENSE"]},
			{"usr/share/doc/" + i.name + "/THIRD_PARTY_NOTICES", 0o644, texts["THIRD_PARTY_NOTICES"]},
		}), r.time); err != nil {
			return err
		}
		archive, err := r.image(i.command, arch, layer.Bytes())
		if err != nil {
			return err
		}
		if err := r.write(fmt.Sprintf("%s_%s_%s.image.tar", i.name, r.version, arch), archive); err != nil {
			return err
		}
	}
	return nil
}

// image returns the archive of an image of one layer.
func (r *release) image(command, arch string, layer []byte) ([]byte, error) {
	tag := "strobe/" + command + ":" + r.version
	labels := map[string]string{
		"org.opencontainers.image.title":    "strobe/" + command,
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.revision": r.commit,
		"org.opencontainers.image.created":  r.time.Format(time.RFC3339),
		"org.opencontainers.image.source":   homepage,
		"org.opencontainers.image.licenses": license,
	}
	c := imageConfig{platform: platform{arch, "linux"}, Created: r.time}
	c.Config.Env = []string{"PATH=/"}
	c.Config.Entrypoint = []string{"/" + command}
	c.Config.Labels = labels
	c.RootFS.Type = "layers"
	c.RootFS.DiffIDs = []string{digest(layer)}
	c.History = []history{{r.time, "make release"}}
	var blobs []entry
	blob := func(mediaType string, content []byte) descriptor {
		d := digest(content)
		blobs = append(blobs, entry{"blobs/sha256/" + d[len("sha256:"):], 0o644, content})
		return descriptor{MediaType: mediaType, Digest: d, Size: len(content)}
	}
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	m := ociManifest{SchemaVersion: 2, MediaType: mediaManifest, Config: blob(mediaConfig, config), Annotations: labels}
	m.Layers = []descriptor{blob(mediaLayer, layer)}
	docker, err := json.Marshal([]dockerManifest{{blobs[0].name, []string{tag}, []string{blobs[1].name}}})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	d := blob(mediaManifest, manifest)
	d.Platform = &c.platform
	d.Annotations = map[string]string{"org.opencontainers.image.ref.name": r.version, "io.containerd.image.name": "docker.io/" + tag}
	index, err := json.Marshal(ociIndex{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{d}})
	if err != nil {
		return nil, err
	}
	entries := append(blobs,
		entry{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		entry{"index.json", 0o644, index},
		entry{"manifest.json", 0o644, docker})
	var out bytes.Buffer
	err = writeTar(&out, sortEntries(entries), r.time)
	return out.Bytes(), err
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

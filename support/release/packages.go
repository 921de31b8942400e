// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers itself
)

const (
	homepage   = "https://github.com/strobe-profiler/strobe"
	license    = "Apache-2.0"
	maintainer = "The Strobe authors <strobe@users.noreply.github.com>"
)

//go:embed scripts/*.sh
var scripts embed.FS

// parcel is one package, for all architectures and forms.
type parcel struct {
	name, summary, description string
	service                    string // "agent": has a unit, and settings
	recommends, suggests       []string
}

var parcels = []parcel{
	{
		name: "strobe-agent", service: "agent", suggests: []string{"strobe-collectionagent", "strobectl"},
		summary: "continuous profiler of a Linux host",
		description: "The agent samples every CPU with eBPF, unwinds native and interpreted stacks\n" +
			"without touching the programs, and sends the profiles to a collection agent:\n" +
			"to the one on this host, if nothing else is said.",
	},
	{
		name: "strobe-collectionagent", service: "collectionagent", suggests: []string{"strobe-agent", "strobectl"},
		summary: "stores and shows the profiles of Strobe agents",
		description: "The server of Strobe: it takes profiles in, keeps them on disk, and shows on a web\n" +
			"page where the CPU time of a fleet goes. It listens on loopback until told otherwise.",
	},
	{
		name: "strobectl", suggests: []string{"strobe-agent"},
		summary: "asks for profiles of Strobe in a terminal",
		description: "Shows tables, flame graphs and comparisons of profiles that a collection agent of\n" +
			"Strobe has, converts profiles, and records some without a server.",
	},
}

// source is where the contents of a package are while it is made.
type source struct {
	dir      string
	contents files.Contents
	err      error
}

// add adds a file. kind is a type of nfpm.
func (s *source) add(destination, kind string, mode fs.FileMode, content []byte) {
	path := filepath.Join(s.dir, strconv.Itoa(len(s.contents)))
	if err := os.WriteFile(path, content, 0o600); err != nil && s.err == nil { //nolint:gosec // in a directory of ours
		s.err = err
	}
	s.contents = append(s.contents, &files.Content{
		Source: path, Destination: destination, Type: kind,
		FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode},
	})
}

// script returns the path of a maintainer script for a package.
func (s *source) script(name string, p *parcel) string {
	b, err := scripts.ReadFile("scripts/" + name)
	if err != nil && s.err == nil {
		s.err = err
	}
	text := strings.NewReplacer("@UNIT@", p.name+".service", "@NAME@", p.service).Replace(string(b))
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil && s.err == nil {
		s.err = err
	}
	return path
}

// packages makes all packages of an architecture.
func (r *release) packages(arch string, texts map[string][]byte) error {
	for i := range parcels {
		for _, form := range []string{"deb", "rpm"} {
			if err := r.pack(&parcels[i], form, arch, texts); err != nil {
				return fmt.Errorf("%s as %s: %w", parcels[i].name, form, err)
			}
		}
	}
	return nil
}

func (r *release) pack(p *parcel, form, arch string, texts map[string][]byte) error {
	dir, err := os.MkdirTemp(r.work, "package-")
	if err != nil {
		return err
	}
	s := &source{dir: dir}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: p.name, Arch: arch, Platform: "linux", Version: r.version,
		Section: "admin", Priority: "optional", Maintainer: maintainer,
		Description: p.summary + "\n" + p.description, Homepage: homepage, License: license,
		MTime: r.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Recommends: p.recommends,
			Deb:        nfpm.Deb{Compression: "gzip"},
			RPM:        nfpm.RPM{Compression: "zstd", BuildHost: "localhost", Group: "System", Summary: p.summary, Packager: maintainer},
		},
	})
	if form == "deb" { // of the others, only dnf knows what to do with them
		info.Suggests = p.suggests
	}
	binary, err := os.ReadFile(r.binary(arch, p.name))
	if err != nil {
		return err
	}
	s.add("/usr/bin/"+p.name, "", 0o755, binary)
	if err := s.documents(p, form, texts); err != nil {
		return err
	}
	if p.service == "" {
		s.completion(form, texts)
	} else {
		s.service(p, form, info, texts)
	}
	if s.err != nil {
		return s.err
	}
	info.Contents = s.contents
	if err := nfpm.PrepareForPackager(info, form); err != nil {
		return err
	}
	packager, err := nfpm.Get(form)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	name := packager.ConventionalFileName(info)
	if err := packager.Package(info, &out); err != nil {
		return err
	}
	return r.write(filepath.Base(name), out.Bytes())
}

// documents adds licences and what belongs to them.
func (s *source) documents(p *parcel, form string, texts map[string][]byte) error {
	doc := "/usr/share/doc/" + p.name + "/"
	notices, err := compress(texts["THIRD_PARTY_NOTICES"])
	if err != nil {
		return err
	}
	if form == "deb" {
		changes, err := compress(texts["CHANGELOG.md"])
		if err != nil {
			return err
		}
		s.add(doc+"copyright", "", 0o644, texts["LICENSE"])
		s.add(doc+"THIRD_PARTY_NOTICES.gz", "", 0o644, notices)
		s.add(doc+"changelog.gz", "", 0o644, changes)
		return nil
	}
	licenses := "/usr/share/licenses/" + p.name + "/"
	s.add(licenses+"LICENSE", files.TypeRPMLicense, 0o644, texts["LICENSE"])
	s.add(licenses+"THIRD_PARTY_NOTICES.gz", files.TypeRPMLicense, 0o644, notices)
	s.add(doc+"CHANGELOG.md", files.TypeRPMDoc, 0o644, texts["CHANGELOG.md"])
	return nil
}

// completion adds what shells complete strobectl's commands with.
func (s *source) completion(form string, texts map[string][]byte) {
	zsh := "/usr/share/zsh/site-functions/_strobectl"
	if form == "deb" {
		zsh = "/usr/share/zsh/vendor-completions/_strobectl"
	}
	s.add("/usr/share/bash-completion/completions/strobectl", "", 0o644, texts["completion.bash"])
	s.add(zsh, "", 0o644, texts["completion.zsh"])
	s.add("/usr/share/fish/vendor_completions.d/strobectl.fish", "", 0o644, texts["completion.fish"])
}

// service adds a unit, its settings, and the scripts that start and stop it.
func (s *source) service(p *parcel, form string, info *nfpm.Info, texts map[string][]byte) {
	unit := p.name + ".service"
	s.add("/usr/lib/systemd/system/"+unit, "", 0o644, texts[unit])
	s.add("/etc/strobe/"+p.service+".conf", files.TypeConfigNoReplace, 0o644, texts[p.service+".conf"])
	s.add("/etc/strobe/"+p.service+".env", files.TypeConfigNoReplace, 0o640, texts[p.service+".env"])
	if p.service == "agent" {
		s.add("/usr/share/doc/"+p.name+"/examples/token.conf", "", 0o644, texts["token.conf"])
	}
	if form == "deb" {
		info.Scripts = nfpm.Scripts{
			PostInstall: s.script("postinst.sh", p), PreRemove: s.script("prerm.sh", p), PostRemove: s.script("postrm.sh", p),
		}
		return
	}
	info.Scripts = nfpm.Scripts{
		PostInstall: s.script("rpm-post.sh", p), PreRemove: s.script("rpm-preun.sh", p), PostRemove: s.script("rpm-postun.sh", p),
	}
}

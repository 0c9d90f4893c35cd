// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// spdxMediaType is the kind of document that the list is.
const spdxMediaType = "application/spdx+json"

// The parts of an SPDX 2.3 document that are used here.
type (
	spdxDocument struct {
		SPDXVersion       string             `json:"spdxVersion"`
		DataLicense       string             `json:"dataLicense"`
		SPDXID            string             `json:"SPDXID"`
		Name              string             `json:"name"`
		DocumentNamespace string             `json:"documentNamespace"`
		CreationInfo      spdxCreation       `json:"creationInfo"`
		Packages          []spdxPackage      `json:"packages"`
		Relationships     []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		SPDXID           string         `json:"SPDXID"`
		Name             string         `json:"name"`
		VersionInfo      string         `json:"versionInfo,omitempty"`
		DownloadLocation string         `json:"downloadLocation"`
		FilesAnalyzed    bool           `json:"filesAnalyzed"`
		LicenseConcluded string         `json:"licenseConcluded"`
		LicenseDeclared  string         `json:"licenseDeclared"`
		CopyrightText    string         `json:"copyrightText"`
		Comment          string         `json:"comment,omitempty"`
		ExternalRefs     []spdxExternal `json:"externalRefs,omitempty"`
	}
	spdxExternal struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const (
	documentID  = "SPDXRef-DOCUMENT"
	operatorID  = "SPDXRef-operator"
	noAssertion = "NOASSERTION"
)

// newList lists the Go modules that the binaries were built from, as the toolchain wrote it into them.
func newList(o *options, binaries []binary, image v1.Hash) ([]byte, error) {
	modules, main := map[string]debug.Module{}, ""
	for _, b := range binaries {
		info, err := buildinfo.ReadFile(b.path)
		if err != nil {
			return nil, fmt.Errorf("read what the binary for %s was built from: %w", b.platform, err)
		}
		main = info.Main.Path
		modules["stdlib"] = debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			modules[module.Path] = *module
		}
	}
	document := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: o.image,
		DocumentNamespace: "https://fwupgrade.io/spdx/" + strings.Replace(image.String(), ":", "/", 1),
		CreationInfo: spdxCreation{
			Created: o.created.Format(time.RFC3339), Creators: []string{"Tool: fwupgrade.io/operator/hack/image"},
		},
		Packages:      []spdxPackage{mainPackage(o, main, image)},
		Relationships: []spdxRelationship{{documentID, "DESCRIBES", operatorID}},
	}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		p := modulePackage(modules[path])
		document.Packages = append(document.Packages, p)
		document.Relationships = append(document.Relationships, spdxRelationship{operatorID, "DEPENDS_ON", p.SPDXID})
	}
	list, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the list of what is in the image: %w", err)
	}
	return append(list, '\n'), nil
}

func mainPackage(o *options, path string, image v1.Hash) spdxPackage {
	return spdxPackage{
		SPDXID: operatorID, Name: path, VersionInfo: o.version, DownloadLocation: cmp.Or(o.source, noAssertion),
		LicenseConcluded: "Apache-2.0", LicenseDeclared: "Apache-2.0", CopyrightText: noAssertion,
		Comment: "container image " + image.String(),
	}
}

func modulePackage(module debug.Module) spdxPackage {
	p := spdxPackage{
		SPDXID: "SPDXRef-module-" + strings.Map(idRune, module.Path), Name: module.Path, VersionInfo: module.Version,
		DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: noAssertion,
		CopyrightText: noAssertion,
		ExternalRefs: []spdxExternal{{
			Category: "PACKAGE-MANAGER", Type: "purl",
			Locator: "pkg:golang/" + module.Path + "@" + strings.ReplaceAll(module.Version, "+", "%2B"),
		}},
	}
	if module.Sum != "" {
		p.Comment = "go.sum " + module.Sum
	}
	return p
}

// idRune keeps what an identifier of SPDX may have.
func idRune(r rune) rune {
	if r == '.' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
		return r
	}
	return '-'
}

// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package applications says which namespaces may claim the tasks of which applications, and which callback secrets
// belong to which application. It is what the file given by --applications-file says.
package applications

import (
	"path/filepath"
	"slices"
)

// Map is the content of an applications file. It doesn't change after Load. A nil *Map stands for "no file given" and
// permits everything.
type Map struct {
	// namespaces are the permitted namespaces by application.
	namespaces map[string][]string
	// applications are the applications by namespace, sorted.
	applications map[string][]string
	// secretFiles are the paths of the callback secrets by application, where an application has its own.
	secretFiles map[string]string
}

// Permitted says whether a FirmwareUpgrade in the namespace may claim tasks of the application. Without a file every
// namespace may; with one, an application that is not listed, the empty one included, is permitted nowhere.
func (m *Map) Permitted(appID, namespace string) bool {
	if m == nil {
		return true
	}
	return slices.Contains(m.namespaces[appID], namespace)
}

// Applications returns the applications whose tasks the namespace may claim, sorted. Without a file it returns nil
// although everything is permitted: ask Permitted for that.
func (m *Map) Applications(namespace string) []string {
	if m == nil {
		return nil
	}
	return slices.Clone(m.applications[namespace])
}

// SecretFiles returns the paths of the files with callback secrets of an application's own, by appId. Applications
// without such a file are not in it. The caller may change what it got.
func (m *Map) SecretFiles() map[string]string {
	if m == nil {
		return map[string]string{}
	}
	files := make(map[string]string, len(m.secretFiles))
	for appID, path := range m.secretFiles {
		files[appID] = path
	}
	return files
}

// newMap indexes what a validated file says. Relative paths of secrets are meant relative to the folder of the file,
// so that both can be mounted anywhere.
func newMap(f *file, folder string) *Map {
	m := &Map{
		namespaces:   make(map[string][]string, len(f.Applications)),
		applications: map[string][]string{},
		secretFiles:  map[string]string{},
	}
	for _, a := range f.Applications {
		m.namespaces[a.AppID] = a.Namespaces
		for _, namespace := range a.Namespaces {
			m.applications[namespace] = append(m.applications[namespace], a.AppID)
		}
		if a.SecretsFile == "" {
			continue
		}
		if filepath.IsAbs(a.SecretsFile) {
			m.secretFiles[a.AppID] = filepath.Clean(a.SecretsFile)
		} else {
			m.secretFiles[a.AppID] = filepath.Join(folder, a.SecretsFile)
		}
	}
	for _, appIDs := range m.applications {
		slices.Sort(appIDs)
	}
	return m
}

// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// The names under which failed reloads are counted.
const (
	reloadSecrets     = "secrets"
	reloadClientCA    = "client_ca"
	reloadCertificate = "certificate"
)

// reload reads files again. What has changed it returns as the names and values of a line of the log; nothing if all is
// as it was.
type reload func() (changes []any, err error)

// reloader reads files again from time to time. Polling also sees what mounted Secrets do: they swap symbolic links.
type reloader struct {
	clock   clock.WithTicker
	log     logr.Logger
	metrics *metrics
	// reloads are what is done each time, by name. What fails keeps what it had.
	reloads map[string]reload
}

// run reloads every reloadInterval until ctx ends.
func (r *reloader) run(ctx context.Context) {
	ticker := r.clock.NewTicker(reloadInterval)
	defer ticker.Stop()
	problems := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		for name, read := range r.reloads {
			problems[name] = r.once(name, read, problems[name])
		}
	}
}

// once reloads and returns the problem there was; one that lasts is logged once.
func (r *reloader) once(name string, read reload, before string) string {
	changes, err := read()
	if err == nil {
		if before != "" || len(changes) > 0 {
			r.log.Info("Reloaded", append([]any{"file", name}, changes...)...)
		}
		return ""
	}
	r.metrics.reloadErrors.WithLabelValues(name).Inc()
	if err.Error() != before {
		r.log.Error(err, "Could not reload, kept what was loaded before", "file", name)
	}
	return err.Error()
}

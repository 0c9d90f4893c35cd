// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

// Where an IoTApplication is, status shows the platform's figures and what became of comparing with them, and says no
// difference twice. The status is the one that the operator would write.
func TestPlatformLines(t *testing.T) {
	figures := func(says v1alpha1.PlatformStatus) *v1alpha1.PlatformStatus {
		says.Total, says.ObservedTime = 4, metav1.Time{Time: now}
		return &says
	}
	for name, c := range map[string]struct {
		says *status.Platform
		want []string
	}{
		"no IoTApplication": {},
		"running": {
			says: &status.Platform{Figures: figures(v1alpha1.PlatformStatus{Succeeded: 2, Processing: 2}), AskedAt: now},
			want: []string{
				"Platform:     2 succeeded, 0 failed, 2 to come, of 4",
				"Synced:       Unknown (Running): the platform counts 2 succeeded and 0 failed,",
				"              reported are 1 and 0",
			},
		},
		"repairing": {
			says: &status.Platform{
				Figures: figures(v1alpha1.PlatformStatus{Succeeded: 2, Failed: 1, Stopped: 1, Repaired: 1}), AskedAt: now,
				Judgement: status.Repairing,
			},
			want: []string{
				"Platform:     2 succeeded, 2 failed, of 4; results asked for: 1",
				"Synced:       False (Repairing)", // the message of Ready begins with the difference
			},
		},
		"equal": {
			says: &status.Platform{Figures: figures(v1alpha1.PlatformStatus{Succeeded: 1, Waiting: 3}), AskedAt: now},
			want: []string{"Platform:     1 succeeded, 0 failed, 3 to come, of 4", "Synced:       True (CountsEqual)"},
		},
		"unreachable": {
			says: &status.Platform{Trouble: "the platform can't be used: no route to host"},
			want: []string{
				"Synced:       Unknown (PlatformUnreachable): the platform can't be used: no", "              route to host",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			task := result.Task{AppID: "app", OperationID: "op"}
			fwu := wrappers.MakeFirmwareUpgrade("meters", "fleet").Operation("op").App("app").Expected(4).
				Created(now.Add(-time.Hour)).Obj()
			counted := tally.New()
			counted.Add([]result.Result{reported(task, "d", time.Minute, succeeded, "")})
			fwu.Status, _ = status.Compute(fwu, fwu.Status, status.Observation{
				Task: task, Failures: counted, Now: now, Summary: counted.Summary(task, tally.Query{}), Platform: c.says,
			})
			s := &session{look: look{width: 80, unicode: true}}
			if diff := cmp.Diff(c.want, s.platformLines(fwu)); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			for _, line := range c.want {
				if all := s.statusLines(fwu, now); !strings.Contains(strings.Join(all, "\n"), line) {
					t.Errorf("status lacks %q", line)
				}
			}
		})
	}
}

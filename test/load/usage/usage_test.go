// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCPUSeconds(t *testing.T) {
	cases := map[string]struct {
		stat string
		want float64
		fail bool
	}{
		"plain":               {stat: "7 (etcd) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0", want: 3},
		"brackets and blanks": {stat: "7 (a) b (c)) R 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 9 0", want: 0.03},
		"cut off":             {stat: "7 (etcd) S 1 7", fail: true},
		"no number":           {stat: "7 (etcd) S 1 7 7 0 -1 4194560 100 0 0 0 x 50 0 0", fail: true},
		"empty":               {fail: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := cpuSeconds(c.stat)
			if got != c.want || (err != nil) != c.fail {
				t.Errorf("%v, %v, want %v, an error: %v", got, err, c.want, c.fail)
			}
		})
	}
}

func TestReadMetric(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# TYPE bytes gauge\nbytes_total 1\nbytes 2.5e+06\n"))
	}))
	defer server.Close()
	got, err := readMetric(t.Context(), server.URL, "bytes")
	if err != nil || got != 2_500_000 {
		t.Errorf("%v, %v, want 2500000", got, err)
	}
	if _, err := readMetric(t.Context(), server.URL, "byte"); err == nil {
		t.Error("a metric that is not there was read")
	}
}

func TestUsageSince(t *testing.T) {
	earlier := Usage{CPU: map[string]float64{"etcd": 1, "sender": 2}, PutBytes: 100}
	later := Usage{CPU: map[string]float64{"etcd": 3, "sender": 2}, PutBytes: 150}
	want := Usage{CPU: map[string]float64{"etcd": 2, "sender": 0}, PutBytes: 50}
	if diff := cmp.Diff(want, later.Since(earlier)); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

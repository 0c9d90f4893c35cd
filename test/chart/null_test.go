// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// mayBeNull are the values with a default that null takes away. What it means is said in values.yaml, or is plain.
var mayBeNull = map[string]bool{
	"runAsUser":        true,
	"webhook.replicas": true, "controllers.replicas": true,
	"webhook.resources": true, "controllers.resources": true,
}

// null sets a value to null, which Helm takes for: without the default.
func null(t *testing.T, path []string) string {
	t.Helper()
	var value any
	for i := len(path) - 1; i >= 0; i-- {
		value = map[string]any{path[i]: value}
	}
	content, err := yaml.Marshal(value)
	must(t, err)
	return string(content)
}

// Null is the same as an empty default, and is refused with a sentence where the default is not empty.
func TestNullValues(t *testing.T) {
	want, _, err := template(t, operatorNamespace, "")
	must(t, err)
	count := 0
	var check func(path []string, value any)
	check = func(path []string, value any) {
		if section, ok := value.(map[string]any); ok {
			for key, inner := range section {
				check(append(path[:len(path):len(path)], key), inner)
			}
		}
		name := strings.Join(path, ".")
		if len(path) == 0 || mayBeNull[name] || strings.Contains(name, ".resources.") {
			return
		}
		count++
		got, _, err := template(t, operatorNamespace, null(t, path))
		switch text := fmt.Sprint(value); text {
		case "<nil>", "", "[]", "map[]":
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s=null: %v, %s", name, err, diff)
			}
		default:
			missing := fmt.Sprintf("missing property '%s'", path[len(path)-1])
			if err == nil || !strings.Contains(err.Error(), missing) {
				t.Errorf("%s=null, default %s: want %q, got %v", name, text, missing, err)
			}
		}
	}
	check(nil, loadChart(t).Values)
	if count < 50 {
		t.Errorf("only %d values were tried", count)
	}
}

// What may be null gives a valid Deployment without the field.
func TestWithoutDefaults(t *testing.T) {
	for name := range mayBeNull {
		t.Run(name, func(t *testing.T) {
			path := strings.Split(name, ".")
			field := path[len(path)-1]
			for key, object := range render(t, operatorNamespace, null(t, path)) {
				if !strings.HasPrefix(key, "Deployment ") || len(path) == 2 && !strings.HasSuffix(key, "-"+path[0]) {
					continue
				}
				spec := object["spec"].(map[string]any)
				found := []any{find(spec, field), find(spec, "template", "spec", "securityContext", field),
					find(spec, "template", "spec", "containers", 0, field)}
				if diff := cmp.Diff([]any{nil, nil, nil}, found); diff != "" {
					t.Errorf("%s: %s", key, diff)
				}
			}
		})
	}
}

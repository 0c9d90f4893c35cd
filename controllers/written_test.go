// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// TestDigestOfDetails holds that digestPrefix changes with the fields of the details, or with how they are encoded:
// otherwise another version of the operator takes the details that this one wrote for somebody else's, and drops them.
// Where this fails, change digestPrefix and the digest here together.
func TestDigestOfDetails(t *testing.T) {
	var all v1alpha1.Details
	fill(t, reflect.ValueOf(&all).Elem())
	const want = "1-6e315a459eb1822d"
	if got := digest(all); got != want {
		t.Errorf("want %s, got %s of %+v", want, got, all)
	}
}

// fill gives every field a value.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	if _, isTime := v.Interface().(metav1.Time); isTime {
		v.Set(reflect.ValueOf(metav1.Unix(1_800_000_000, 0)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("there is no value for a %s", v.Type())
	}
}

// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"encoding/json"
	"fmt"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// checkStored holds that every object of the operator is valid under the CRDs of both versions, as far as they know its
// fields. An API server that has one of them would not say so: it lets stored values be that do not change.
func (in *installation) checkStored(t *testing.T, versions ...*version) {
	t.Helper()
	// Nothing connects the platform here, so that there is none of these.
	ofThePlatform := map[string]bool{"IoTApplication": true, "FirmwareUpgradeTaskRecord": true}
	pruned := map[string]bool{}
	for _, v := range versions {
		for _, crd := range v.crds {
			for _, served := range crd.Spec.Versions {
				list := &unstructured.UnstructuredList{}
				list.SetGroupVersionKind(runtimeschema.GroupVersionKind{
					Group: crd.Spec.Group, Version: served.Name, Kind: crd.Spec.Names.ListKind,
				})
				must(t, in.k8s.List(t.Context(), list))
				if len(list.Items) == 0 && !ofThePlatform[crd.Spec.Names.Kind] {
					t.Errorf("there is no %s", crd.Spec.Names.Kind)
				}
				for i := range list.Items {
					checkObject(t, &list.Items[i], served.Schema, v.name, pruned)
				}
			}
		}
	}
	for what := range pruned {
		t.Log(what)
	}
}

func checkObject(
	t *testing.T, object *unstructured.Unstructured, crd *apiextensionsv1.CustomResourceValidation, name string,
	pruned map[string]bool,
) {
	t.Helper()
	internal := &apiextensions.CustomResourceValidation{}
	convert := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation
	must(t, convert(crd, internal, nil))
	structural, err := schema.NewStructural(internal.OpenAPIV3Schema)
	must(t, err)
	content := runtime.DeepCopyJSON(object.Object)
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, field := range pruning.PruneWithOptions(content, structural, true, options) {
		pruned[fmt.Sprintf("the CRD of %s of %s has no field %s", object.GetKind(), name, field)] = true
	}
	encoded, err := json.Marshal(crd.OpenAPIV3Schema)
	must(t, err)
	open := &spec.Schema{}
	must(t, json.Unmarshal(encoded, open))
	if err := validate.NewSchemaValidator(open, nil, "", strfmt.Default).Validate(content).AsError(); err != nil {
		t.Errorf("%s %s/%s is not valid under the CRD of %s: %v",
			object.GetKind(), object.GetNamespace(), object.GetName(), name, err)
	}
}

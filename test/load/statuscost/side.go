// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuscost

import (
	"context"
	_ "embed" // the first version's CRD
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
)

// firstCRD is the CRD of FirmwareUpgrades as the first version had it, unchanged. What a write of a status costs today
// is compared with it.
//
//go:embed testdata/first_firmwareupgrades.yaml
var firstCRD []byte

// The numbers of the sides that are always there.
const (
	sideFirst = iota
	sideToday
)

// todayCRD is where today's CRD is, below the module's root.
const todayCRD = "config/crd/bases/fwupgrade.io_firmwareupgrades.yaml"

// plural is what the API server calls the objects of every side.
const plural = "firmwareupgrades"

// createTimeout is how long the API server may take to serve a kind whose CRD was installed.
const createTimeout = 30 * time.Second

// side is one CRD, in a group of its own, so that all are installed at once.
type side struct {
	title, group string
	crd          []byte
	// statusOf makes a status of the shape that the CRD has.
	statusOf func(content) any

	client  rest.Interface
	objects []*object
}

// object is a FirmwareUpgrade whose status is written.
type object struct {
	name, resourceVersion string
	spec                  map[string]any
	writes                int
}

func sidesOf(o *options) ([]*side, error) {
	root, err := local.ModuleRoot()
	if err != nil {
		return nil, err
	}
	today, err := os.ReadFile(filepath.Join(root, todayCRD))
	if err != nil {
		return nil, fmt.Errorf("read today's CRD: %w", err)
	}
	sides := []*side{
		sideFirst: {title: "first version", group: "first.fwupgrade.example", crd: firstCRD, statusOf: firstStatus},
		sideToday: {title: "today", group: "today.fwupgrade.example", crd: today, statusOf: todayStatus},
	}
	for i, variant := range o.variants {
		title, file, _ := strings.Cut(variant, "=")
		crd, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a variant: %w", err)
		}
		sides = append(sides, &side{
			title: title, group: fmt.Sprintf("variant%d.fwupgrade.example", i+1), crd: crd, statusOf: todayStatus,
		})
	}
	for _, s := range sides {
		if s.crd, err = inGroup(s.crd, s.group); err != nil {
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
	}
	return sides, nil
}

// inGroup returns the CRD of FirmwareUpgrades for another group.
func inGroup(crd []byte, group string) ([]byte, error) {
	var object map[string]any
	if err := yaml.Unmarshal(crd, &object); err != nil {
		return nil, fmt.Errorf("decode the CRD: %w", err)
	}
	err := errors.Join(
		unstructured.SetNestedField(object, plural+"."+group, "metadata", "name"),
		unstructured.SetNestedField(object, group, "spec", "group"),
	)
	if err != nil {
		return nil, fmt.Errorf("change the CRD's group: %w", err)
	}
	return yaml.Marshal(object)
}

// create creates the objects. They are written by a service account with a token, as the operator's are: the API server
// remembers a token that it verified, but verifies a client certificate with every request.
func (s *side) create(ctx context.Context, cluster *local.Cluster, o *options) error {
	gv := schema.GroupVersion{Group: s.group, Version: v1alpha1.GroupVersion.Version}
	config, err := writerConfig(ctx, cluster, s.group)
	if err != nil {
		return err
	}
	if s.client, err = clientFor(config, gv); err != nil {
		return err
	}
	dynamicClient, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	objects := dynamicClient.Resource(gv.WithResource(plural)).Namespace(metav1.NamespaceDefault)
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	for i := range o.objects {
		spec := specOf(i, o.devices)
		made, err := objects.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": gv.String(), "kind": "FirmwareUpgrade",
			"metadata": map[string]any{"name": fmt.Sprintf("upgrade-%03d", i)}, "spec": spec,
		}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create an object: %w", err)
		}
		// What the API server defaulted is sent back, as an operator does that read the object.
		spec, _, _ = unstructured.NestedMap(made.Object, "spec")
		s.objects = append(s.objects, &object{name: made.GetName(), resourceVersion: made.GetResourceVersion(), spec: spec})
	}
	return nil
}

// writerConfig makes a service account that may do everything: what it may do is not measured.
func writerConfig(ctx context.Context, cluster *local.Cluster, name string) (*rest.Config, error) {
	clients, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := clients.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(ctx, account,
		metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create a service account: %w", err)
	}
	_, err = clients.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: name}},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("bind a service account: %w", err)
	}
	return cluster.ServiceAccountConfig(ctx, metav1.NamespaceDefault, name)
}

// takeTurn writes statuses for as long as a turn takes and returns how many.
func (s *side) takeTurn(ctx context.Context, o *options, size size) (int, error) {
	end := time.Now().Add(o.turn)
	written := make([]int, o.writers)
	group, ctx := errgroup.WithContext(ctx)
	for writer := range o.writers {
		group.Go(func() error {
			for i := writer; time.Now().Before(end); i = s.next(i, o.writers, writer) {
				if err := s.write(ctx, s.objects[i], size); err != nil {
					return err
				}
				written[writer]++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	total := 0
	for _, n := range written {
		total += n
	}
	return total, nil
}

// next returns the number of the writer's next object, beginning anew after its last.
func (s *side) next(i, writers, writer int) int {
	if i += writers; i < len(s.objects) {
		return i
	}
	return writer
}

// write writes the next status of an object, as the operator does: PUT with the resource version, without managed
// fields.
func (s *side) write(ctx context.Context, o *object, size size) error {
	_, err := s.put(ctx, o, size)
	return err
}

// check writes a full status and makes sure that it is stored as it was sent: a CRD that does not know a field drops
// it, and what it would cost is not known.
func (s *side) check(ctx context.Context) error {
	answer, err := s.put(ctx, s.objects[0], full)
	if err != nil {
		return err
	}
	var stored struct{ Status any }
	var sent any
	err = errors.Join(json.Unmarshal(answer, &stored), json.Unmarshal(s.encoded(full, s.objects[0].writes), &sent))
	if err != nil {
		return fmt.Errorf("compare a status: %w", err)
	}
	if !reflect.DeepEqual(sent, stored.Status) {
		return fmt.Errorf("the CRD does not keep the status as it is written: %v was sent, %v is stored", sent, stored.Status)
	}
	return nil
}

// put writes the next status of an object and returns the answer.
func (s *side) put(ctx context.Context, o *object, size size) ([]byte, error) {
	o.writes++
	body, err := json.Marshal(map[string]any{
		"apiVersion": s.group + "/" + v1alpha1.GroupVersion.Version, "kind": "FirmwareUpgrade",
		"metadata": map[string]any{"name": o.name, "namespace": metav1.NamespaceDefault,
			"resourceVersion": o.resourceVersion},
		"spec": o.spec, "status": s.statusOf(contentOf(size, o.writes)),
	})
	if err != nil {
		return nil, fmt.Errorf("encode an object: %w", err)
	}
	answer, err := s.client.Put().Namespace(metav1.NamespaceDefault).Resource(plural).Name(o.name).SubResource("status").
		SetHeader("Content-Type", "application/json").MaxRetries(0).Body(body).Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("write a status: %w", err)
	}
	var stored metav1.PartialObjectMetadata
	if err := json.Unmarshal(answer, &stored); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if stored.ResourceVersion == o.resourceVersion {
		return nil, errors.New("a write of a status changed nothing")
	}
	o.resourceVersion = stored.ResourceVersion
	return answer, nil
}

// encoded returns a status as it is written.
func (s *side) encoded(size size, n int) []byte {
	encoded, err := json.Marshal(s.statusOf(contentOf(size, n)))
	if err != nil {
		return nil // what is encoded are plain structs and maps
	}
	return encoded
}

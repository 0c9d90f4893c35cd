// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
)

// recordingTransport keeps the answers of the API server.
type recordingTransport struct {
	http.RoundTripper
	mu       sync.Mutex
	answers  []string
	requests []string
}

func (r *recordingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if err := response.Body.Close(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, string(body))
	r.requests = append(r.requests, request.Method+" "+request.URL.Path)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// webhookUser is a service account that may create slices in the namespace and nothing else.
func webhookUser(t *testing.T, namespace string) *rest.Config {
	t.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "webhook"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{storage.GroupVersion.Group}, Resources: []string{"resultslices"}, Verbs: []string{"create"},
		}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "webhook"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "webhook"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "webhook"},
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "webhook"}}
	c := admin(t)
	for _, object := range []client.Object{account, role, binding} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	config, err := cluster.ServiceAccountConfig(t.Context(), namespace, account.Name)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestStoreOnTheAPIServer(t *testing.T) {
	namespace := makeNamespace(t)
	config := webhookUser(t, namespace)
	recorder := &recordingTransport{}
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
		recorder.RoundTripper = inner
		return recorder
	})
	s, err := newStore(config, namespace)
	if err != nil {
		t.Fatal(err)
	}
	body := func(name string, change func(*storage.ResultSlice)) []byte {
		results := make([]result.Result, 100)
		for i := range results {
			results[i] = deviceEntry(i).result
		}
		slice := sliceOfAll(nil)
		slice.Tables = result.Pack(results)
		if change != nil {
			change(slice)
		}
		encoded, err := encodeSlice(name, slice)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}

	// RBAC takes a moment to be seen.
	eventually(t, "the user may create slices", func() bool { return s.create(t.Context(), body("r-first", nil)) == nil })
	if got := len(storedIn(t, namespace).results); got != 100 {
		t.Errorf("%d results are stored", got)
	}
	last := recorder.answers[len(recorder.answers)-1]
	if !strings.Contains(last, `"kind":"PartialObjectMetadata"`) || strings.Contains(last, "device-001") {
		t.Errorf("the API server answered with more than metadata:\n%s", last)
	}

	cases := map[string]struct {
		store *store
		body  []byte
		want  writeResult
		// reason is how the error is counted.
		reason string
	}{
		"the same name": {s, body("r-first", nil), writeStored, "other"},
		"no rows": {
			s, body("r-bad", func(slice *storage.ResultSlice) { slice.Tables[0].Rows = "" }), writeRefused, "refused",
		},
		"an unknown state": {
			s, body("r-bad", func(slice *storage.ResultSlice) { slice.Tables[0].State = "Odd" }), writeRefused, "refused",
		},
		"a long text": {
			s, body("r-bad", func(slice *storage.ResultSlice) { slice.Tables[0].StatusDesc = strings.Repeat("x", 1025) }),
			writeRefused, "refused",
		},
		"no JSON":           {s, []byte("{"), writeRefused, "refused"},
		"four megabytes":    {s, bytes.Repeat([]byte(" "), 4<<20), writeRefused, "refused"},
		"another namespace": {&store{client: s.client, namespace: makeNamespace(t)}, body("r-other", nil), writeUnclear, "forbidden"},
		"no namespace":      {&store{client: adminStore(t).client, namespace: "missing"}, body("r-other", nil), writeUnclear, "not_found"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.store.create(t.Context(), tc.body)
			if err == nil {
				t.Fatal("no error")
			}
			if got := writeResultOf(err); got != tc.want {
				t.Errorf("want %v, got %v for %v", tc.want, got, err)
			}
			if got := errorReason(err); got != tc.reason {
				t.Errorf("want it counted as %s, got %s for %v", tc.reason, got, err)
			}
		})
	}
	for _, request := range recorder.requests {
		if !strings.HasPrefix(request, "POST ") {
			t.Errorf("asked for more than to create: %s", request)
		}
	}
}

func adminStore(t *testing.T) *store {
	t.Helper()
	s, err := newStore(cluster.Config(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnreachableAPIServer(t *testing.T) {
	s, err := newStore(&rest.Config{Host: "http://127.0.0.1:1"}, "default")
	if err != nil {
		t.Fatal(err)
	}
	err = s.create(t.Context(), []byte("{}"))
	if writeResultOf(err) != writeUnclear || errorReason(err) != "unavailable" {
		t.Errorf("got %v, %s for %v", writeResultOf(err), errorReason(err), err)
	}
}

func TestLoggableLeavesContentOut(t *testing.T) {
	refused := apierrors.NewBadRequest("tables[0].rows: c7a9f0b2")
	if got := loggable(refused).Error(); got != "BadRequest" {
		t.Errorf("logged as %q", got)
	}
	forbidden := apierrors.NewForbidden(sliceResource, "r-0", errGone)
	if got := loggable(forbidden).Error(); !strings.Contains(got, errGone.Error()) {
		t.Errorf("logged as %q", got)
	}
}

// createFrom creates what a file of config/policy holds, until the test ends.
func createFrom(t *testing.T, file string, object client.Object) {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "config", "policy", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, object); err != nil {
		t.Fatal(err)
	}
	create(t, object)
}

// create creates an object until the test ends.
func create(t *testing.T, object client.Object) {
	t.Helper()
	c := admin(t)
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), object); err != nil {
			t.Error(err)
		}
	})
}

// A push into a store that is full, or another installation's, is answered 503 with Retry-After at once, as the
// admission policy's refusal is final. When there is room again, the next push is stored.
func TestStoreThatTakesNothingIsSaidAtOnce(t *testing.T) {
	namespace := makeNamespace(t)
	r := startReceiver(t, func(o *Options) { o.Namespace, o.Config = namespace, webhookUser(t, namespace) })
	send := func() (reply, time.Duration) {
		start := time.Now()
		got := r.send("POST", DefaultCallbackPath+"/"+testSecret, push("d"))
		return got, time.Since(start)
	}
	await := func(what string, status int) {
		t.Helper()
		eventually(t, what, func() bool { got, _ := send(); return got.status == status })
	}
	await("RBAC is seen", 200)
	createFrom(t, "store.yaml", &admissionregistrationv1.ValidatingAdmissionPolicy{})
	createFrom(t, "store_binding.yaml", &admissionregistrationv1.ValidatingAdmissionPolicyBinding{})
	owner := &storage.ResultStore{
		ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}, Spec: storage.ResultStoreSpec{Namespace: namespace},
	}
	create(t, owner)
	refusedAtOnce := func() {
		t.Helper()
		got, took := send()
		if got.status != 503 || got.header.Get("Retry-After") == "" || took > attemptTimeout {
			t.Errorf("got %d %s, %v after %s", got.status, got.body, got.header, took)
		}
	}
	setState := func(state storage.StoreState) {
		t.Helper()
		owner.Status.State = state
		if err := admin(t).Status().Update(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}

	setState(storage.StoreFull)
	await("the full store is seen", 503)
	refusedAtOnce()
	if n := r.metric("fwupgrade_webhook_commit_errors_total", "store_full"); n < 2 {
		t.Errorf("counted %v times", n)
	}
	if n := strings.Count(r.logs.text(), "asked senders to come again"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, r.logs.text())
	}
	setState(storage.StoreNearlyFull)
	await("there is room again", 200)

	if err := admin(t).Delete(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	owner.ObjectMeta = metav1.ObjectMeta{Name: storage.ResultStoreName}
	owner.Spec.Namespace = "another"
	if err := admin(t).Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	await("the other installation is seen", 503)
	refusedAtOnce()
}

// TestPoisonOnTheAPIServer has the real API server refuse one entry among 500.
func TestPoisonOnTheAPIServer(t *testing.T) {
	namespace := makeNamespace(t)
	s, err := newStore(cluster.Config(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	c := runCommitter(t, s)
	outcomes := make([]outcome, 500)
	var waiting sync.WaitGroup
	for i := range outcomes {
		e := deviceEntry(i)
		if i == 250 {
			e.result.State = "Odd"
		}
		waiting.Go(func() { outcomes[i] = c.submit(e) })
	}
	waiting.Wait()
	for i, o := range outcomes {
		if want := answerRecorded; i != 250 && o.answer != want {
			t.Errorf("entry %d: %+v", i, o)
		}
	}
	if o := outcomes[250]; o.answer != answerRejected || !strings.Contains(o.reason, "the API server refused it") {
		t.Errorf("the poisonous one: %+v", o)
	}
	stored := storedIn(t, namespace)
	if len(stored.results) != 499 || len(stored.rejected) != 1 || stored.rejected[0].Body != device(250) {
		t.Errorf("stored %d results, rejected %+v", len(stored.results), stored.rejected)
	}
}

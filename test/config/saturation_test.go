// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/test/harness"
)

// pendingTells is how many writes of the controllers are made at once: more than their level lets through.
const pendingTells = 40

// holdEvents makes the API server hold every creation of an Event in the namespace, by an admission webhook that does
// not answer until release is called. Who is held keeps his seats in the API server.
func holdEvents(t *testing.T, namespace string) (release func()) {
	t.Helper()
	free := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		review := &admissionv1.AdmissionReview{}
		if err := json.NewDecoder(r.Body).Decode(review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-free:
		case <-r.Context().Done():
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review)
	}))
	hook := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "hold-events"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "hold.fwupgrade.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &server.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{"events.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"events"},
				},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			SideEffects:       new(admissionregistrationv1.SideEffectClassNone),
			FailurePolicy:     new(admissionregistrationv1.Fail),
			TimeoutSeconds:    new(int32(30)),

			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	must(t, k8s.Create(t.Context(), hook))
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(func() {
		release()
		must(t, k8s.Delete(context.WithoutCancel(t.Context()), hook))
		server.CloseClientConnections()
		server.Close()
	})
	return release
}

// waiting returns how many requests wait in the queues of a level.
func waiting(t *testing.T, clients *kubernetes.Clientset, level string) float64 {
	t.Helper()
	metrics, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	must(t, err)
	var sum float64
	for line := range strings.Lines(string(metrics)) {
		if !strings.HasPrefix(line, "apiserver_flowcontrol_current_inqueue_requests{") ||
			!strings.Contains(line, `"`+level+`"`) {
			continue
		}
		var n float64
		_, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n)
		must(t, err)
		sum += n
	}
	return sum
}

// While everything that the API server lets the controllers do is stuck, and more of it waits, the webhook stores and
// the leader keeps its lease.
func TestStoringGoesBeforeTelling(t *testing.T) {
	webhook := clientFor(t, accountConfig(t, webhookAccount))
	controllers := clientFor(t, accountConfig(t, controllerAccount))
	clients, err := kubernetes.NewForConfig(cluster.Config())
	must(t, err)
	leaders := lease(controllerAccount) // the name that the operator gives it, too
	must(t, controllers.Create(t.Context(), leaders))

	release := holdEvents(t, "default")
	var told sync.WaitGroup
	failed := make(chan error, pendingTells)
	for i := range pendingTells {
		told.Go(func() { failed <- controllers.Create(t.Context(), heldEvent(i)) })
	}
	harness.Eventually(t, func() string {
		if waiting(t, clients, "fwupgrade-telling") == 0 {
			return "nothing waits: the level of the controllers is not full"
		}
		return ""
	})
	for range 3 {
		if err := webhook.Create(t.Context(), newSlice(operatorNamespace)); err != nil {
			t.Errorf("the webhook: %v", err)
		}
		leaders.Spec.HolderIdentity = new("me")
		if err := controllers.Update(t.Context(), leaders); err != nil {
			t.Errorf("the lease: %v", err)
		}
	}
	// Nothing of it passed because the controllers were through.
	if waiting(t, clients, "fwupgrade-telling") == 0 {
		t.Error("nothing waits any more: this showed nothing")
	}
	release()
	told.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Errorf("what waited: %v", err)
		}
	}
	must(t, client.IgnoreNotFound(k8s.Delete(t.Context(), leaders)))
}

func heldEvent(i int) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("held-%d", i)},
		Regarding:           corev1.ObjectReference{Kind: "FirmwareUpgrade", Namespace: "default", Name: "x"},
		EventTime:           metav1.NowMicro(),
		Type:                corev1.EventTypeNormal,
		Reason:              "Held",
		Action:              "Test",
		ReportingController: "fwupgrade.io/operator",
		ReportingInstance:   "test",
	}
}

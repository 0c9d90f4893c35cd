// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/wrappers"
)

// clientAuthority issues client certificates.
type clientAuthority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newClientAuthority(t *testing.T) *clientAuthority {
	t.Helper()
	a := &clientAuthority{t: t}
	der, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority of clients"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: now().Add(time.Hour),
	})
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.certificate, a.key = certificate, key
	return a
}

// now is the real time: certificates know no other.
func now() time.Time { return time.Now() }

func (a *clientAuthority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(now().UnixNano()), now().Add(-time.Hour)
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// issue returns a client certificate that is valid until a time, and its key, as a Secret has them.
func (a *clientAuthority) issue(until time.Time) map[string][]byte {
	a.t.Helper()
	der, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "operator"}, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
	}
}

// setTLS changes the Secret that spec.northbound.tlsRef names.
func (w *world) setTLS(name string, data map[string][]byte) {
	w.t.Helper()
	of := &corev1.Secret{}
	if err := k8s.Get(w.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name + "-tls"}, of); err != nil {
		w.t.Fatal(err)
	}
	for key, value := range data {
		of.Data[key] = value
		w.keepSecret(map[string]string{key: string(value)})
	}
	if err := k8s.Update(w.t.Context(), of); err != nil {
		w.t.Fatal(err)
	}
}

// A platform that wants client certificates gets the one of the Secret, and the next one when it was renewed, without
// anybody restarting anything. One that has expired is said.
func TestMutualTLS(t *testing.T) {
	authority := newClientAuthority(t)
	accepted := x509.NewCertPool()
	accepted.AddCert(authority.certificate)
	w := start(t, northbound.Options{ClientCAs: accepted})
	w.connect(func(app *v1alpha1.IoTApplication) { w.setTLS(app.Name, authority.issue(now().Add(time.Hour))) })
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	operation := w.createTask(northbound.TaskSpec{Count: 3, StartsIn: northbound.Duration(time.Hour)})
	fwu := wrappers.MakeFirmwareUpgrade("mutual", w.namespace).Operation(operation).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	expires := now().Add(5 * time.Second)
	w.setTLS(w.app.Name, authority.issue(expires))
	w.lookAgain()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonCertificateInvalid)
	if now().Before(expires) {
		t.Error("it is said to be invalid before it has expired")
	}
	logins := w.platform.Report().Calls.Logins
	w.setTLS(w.app.Name, authority.issue(now().Add(time.Hour)))
	w.lookAgain()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	w.await(fwu, func() string { return synced(fwu, v1alpha1.ReasonCountsEqual) })
	if got := w.platform.Report().Calls.Logins; got != logins {
		t.Errorf("the connection was made anew: %d logins more", got-logins)
	}
}

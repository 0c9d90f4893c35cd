// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"fwupgrade.io/operator/internal/terminal"
)

// resultsViewerRole is the ClusterRole that lets people read slices: see config/rbac/results_viewer_role.yaml.
const resultsViewerRole = "fwupgrade-results-viewer"

// explainUpgrades says what to do about an error of reading FirmwareUpgrades. The name is empty for a list.
func (c *connection) explainUpgrades(err error, name string) error {
	switch {
	case isForbidden(err):
		return fmt.Errorf("you may not read FirmwareUpgrades: %w\nWho administers the cluster lets you by\n  %s",
			err, grant(err, c.namespace, "fwupgrade-view", "view"))
	case apierrors.IsNotFound(err) && !isMissingKind(err) && name != "":
		return notFound(name, c.namespace)
	}
	return c.explain(err, "read FirmwareUpgrades")
}

// explainSlices says what to do about an error of reading slices in a namespace.
func (c *connection) explainSlices(err error, namespace string) error {
	if isForbidden(err) {
		return fmt.Errorf("you may not read the stored results: %w\n"+
			"They are those of all tenants, so no usual role includes it. Who administers the cluster lets you by\n  %s\n"+
			"If the operator is in another namespace, name it by --operator-namespace",
			err, grant(err, namespace, "fwupgrade-results", resultsViewerRole))
	}
	return c.explain(err, "read the stored results")
}

// explain says what to do about an error that any request may have.
func (c *connection) explain(err error, doing string) error {
	var dns *net.DNSError
	switch {
	case isMissingKind(err):
		return fmt.Errorf("%s: the operator's CRDs are not installed in the cluster at %s: is --context the right one?",
			doing, c.host)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: the API server at %s does not accept your credentials: "+
			"log in anew, or choose another --context", doing, c.host)
	case utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err), errors.As(err, &dns), isTimeout(err):
		return fmt.Errorf("%s: the API server at %s does not answer: does it run, and is --context the right one? (%w)",
			doing, c.host, innermost(err))
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func isForbidden(err error) bool { return apierrors.IsForbidden(err) }

// isMissingKind says whether the API server does not know the kind at all, rather than the object.
func isMissingKind(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// innermost is what is wrong, without the requests around it.
func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		var syscallError net.Error
		if !errors.As(next, &syscallError) {
			break
		}
		err = next
	}
	return err
}

// refusedUser finds the user in what the API server says of a refusal.
var refusedUser = regexp.MustCompile(`User ("(?:[^"\\]|\\.)+") cannot`)

// grant is the command that gives the user who was refused a ClusterRole: in a namespace, or in all where he asked for
// all. The binding is named for the user, as one of somebody else may be there.
func grant(err error, namespace, binding, role string) string {
	subject := "--user=<your user>"
	if found := refusedUser.FindStringSubmatch(err.Error()); found != nil {
		if user, err := strconv.Unquote(found[1]); err == nil {
			subject = "--user=" + terminal.Quoted(user)
			if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
				subject = "--serviceaccount=" + terminal.Quoted(account)
			}
			allowed := strings.NewReplacer("/", ":", "%", ":") // in names of bindings
			binding = terminal.Quoted(allowed.Replace(binding + "-" + user))
		}
	}
	if strings.Contains(err.Error(), "at the cluster scope") {
		return fmt.Sprintf("kubectl create clusterrolebinding %s --clusterrole=%s %s", binding, role, subject)
	}
	return fmt.Sprintf("kubectl -n %s create rolebinding %s --clusterrole=%s %s", namespace, binding, role, subject)
}

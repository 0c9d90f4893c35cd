// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

const (
	// completionTimeout is how long a shell waits for names.
	completionTimeout = 3 * time.Second
	// completedNames is how many names are offered at most.
	completedNames = 500
)

// completeOneName offers the names of FirmwareUpgrades for the first argument.
func (s *session) completeOneName(
	cmd *cobra.Command, args []string, begun string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.completeNames(cmd, args, begun)
}

// completeNames offers the names of FirmwareUpgrades that are not among the arguments. Without an answer it offers
// nothing: a shell has no place for errors.
func (s *session) completeNames(
	cmd *cobra.Command, args []string, begun string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	c, err := s.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FirmwareUpgradeList"))
	if err := c.client.List(ctx, list, client.InNamespace(c.namespace), client.Limit(completedNames)); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for i := range list.Items {
		if name := list.Items[i].Name; strings.HasPrefix(name, begun) && !slices.Contains(args, name) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

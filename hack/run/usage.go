// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"text/template"

	"fwupgrade.io/operator/hack/local"
)

// usageText is what people paste from. The body is the platform's documented example with real values.
const usageText = `
The operator is up. Notifications are received at
  {{.URL}}

Report a device, as the platform does:
  curl -sS -H 'Content-Type: application/json' -d '{"notifyType":"fwUpgradeResultNotify","deviceId":"5f3b1c9e-8a47-4d2b-9c61-0e7d4a2f8b35","appId":"Kq3vW8xT_2mNpR5sYzA7bC9dEfGh","operationId":"0c8e5b7a93d14f26a1b0c9d8e7f6a5b4","subOperationId":"b1946ac92492d2347c6235b4d2611184","curVersion":"1.6","targetVersion":"1.6","sourceVersion":"1.3","status":"SUCCESS","statusDesc":"The device upgrade is successful","upgradeTime":"120"}' '{{.URL}}'

See what it became, in another terminal:
  export KUBECONFIG={{.Kubeconfig}}
  {{.Kubectl}} get firmwareupgrades

Declare the task, and the placeholder that stands for it goes:
  {{.Kubectl}} apply -f - <<< '{"apiVersion":"fwupgrade.io/v1alpha1","kind":"FirmwareUpgrade","metadata":{"name":"mine","namespace":"default"},"spec":{"operationId":"0c8e5b7a93d14f26a1b0c9d8e7f6a5b4","expectedDevices":1}}'

Play a whole fleet:
  {{.Simulator}} --url '{{.URL}}' --devices 1000 --rate 200

Logs are in {{.Logs}}. Interrupt (Ctrl-C) to stop; but for the logs nothing is kept.
`

// printUsage tells how to use the operator that is up.
func printUsage(w io.Writer, root string, operator *local.Operator) error {
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		return err
	}
	err = template.Must(template.New("usage").Parse(usageText)).Execute(w, map[string]string{
		"URL":        operator.CallbackURL,
		"Kubeconfig": operator.Kubeconfig,
		"Kubectl":    kubectl,
		"Simulator":  filepath.Join(root, "bin", "simulator"),
		"Logs":       filepath.Dir(operator.Kubeconfig),
	})
	if err != nil {
		return fmt.Errorf("print how to use it: %w", err)
	}
	return nil
}

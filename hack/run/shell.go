// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/internal/terminal"
)

// plugin is the plugin of kubectl, and completion the script by which kubectl completes its arguments.
const (
	plugin     = "kubectl-fwupgrade"
	completion = "kubectl_complete-fwupgrade"
)

// Files of the folder, beside those of the operator.
const (
	envFile          = "env"
	commandsFolder   = "commands"
	notificationFile = "notification.json"
	upgradeFile      = "firmwareupgrade.yaml"
)

// notification is the platform's documented example with real values, and upgrade declares its task.
const (
	notification = `{"notifyType": "fwUpgradeResultNotify",
 "deviceId": "5f3b1c9e-8a47-4d2b-9c61-0e7d4a2f8b35", "appId": "Kq3vW8xT_2mNpR5sYzA7bC9dEfGh",
 "operationId": "0c8e5b7a93d14f26a1b0c9d8e7f6a5b4", "subOperationId": "b1946ac92492d2347c6235b4d2611184",
 "curVersion": "1.6", "targetVersion": "1.6", "sourceVersion": "1.3",
 "status": "SUCCESS", "statusDesc": "The device upgrade is successful", "upgradeTime": "120"}
`
	upgrade = `apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata:
  name: mine
  namespace: default
spec:
  operationId: "0c8e5b7a93d14f26a1b0c9d8e7f6a5b4"
  expectedDevices: 1
`
)

// shell is what somebody needs in another terminal to use the operator that is up.
type shell struct {
	// root is the module's root, folder the operator's below it.
	root, folder string
	operator     *local.Operator
	hasPlugin    bool
}

func (s *shell) path(name string) string { return filepath.Join(s.root, s.folder, name) }

// write writes the files. What is secret is in env, which only its owner can read.
func (s *shell) write() error {
	if err := s.link(); err != nil {
		return err
	}
	for name, content := range map[string]string{
		envFile: s.env(), notificationFile: notification, upgradeFile: upgrade,
	} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write what other terminals need: %w", err)
		}
	}
	return nil
}

// link makes a folder of the commands, so that PATH gets these and nothing else that happens to be in bin.
func (s *shell) link() error {
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		return err
	}
	bin := filepath.Join(s.root, "bin")
	targets := map[string]string{"kubectl": kubectl, "simulator": filepath.Join(bin, "simulator")}
	for _, name := range []string{plugin, completion} {
		if _, err := os.Stat(filepath.Join(bin, name)); err == nil {
			targets[name] = filepath.Join(bin, name)
		}
	}
	_, s.hasPlugin = targets[plugin]
	commands := s.path(commandsFolder)
	if err := errors.Join(os.RemoveAll(commands), os.Mkdir(commands, 0o700)); err != nil {
		return fmt.Errorf("make the folder of commands: %w", err)
	}
	for name, target := range targets {
		if err := os.Symlink(target, filepath.Join(commands, name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

// env is to be sourced by a shell, once or several times.
func (s *shell) env() string {
	commands := terminal.Quoted(s.path(commandsFolder))
	return "# To be sourced: kubectl, its plugin and simulator for the operator of `make run`. Holds a secret.\n" +
		"export KUBECONFIG=" + terminal.Quoted(s.operator.Kubeconfig) + "\n" +
		"export CALLBACK_URL=" + terminal.Quoted(s.operator.CallbackURL) + "\n" +
		`case ":$PATH:" in *:` + commands + `:*) ;; *) export PATH=` + commands + `:"$PATH" ;; esac` + "\n"
}

// remove removes the files: when the operator is gone, they are of no use.
func (s *shell) remove() error {
	var errs []error
	for _, name := range []string{envFile, commandsFolder, notificationFile, upgradeFile} {
		if err := os.RemoveAll(s.path(name)); err != nil {
			errs = append(errs, fmt.Errorf("remove what other terminals needed: %w", err))
		}
	}
	return errors.Join(errs...)
}

// tell says how to use the operator.
func (s *shell) tell(out *console.Console) {
	out.Title("The operator is up. In another terminal, in this folder:")
	out.Line("")
	out.Styled(console.Bold, "source "+s.folder+"/env")
	out.Line("")
	out.Line("This sets $KUBECONFIG, $CALLBACK_URL and the PATH to kubectl and simulator there. Then:")
	s.example(out, "A platform that upgrades 1,000 devices, and what becomes of it:",
		"simulator --devices 1000 --rate 200", "kubectl get firmwareupgrades")
	s.example(out, "One device, as the platform reports it, and the FirmwareUpgrade of its task:",
		`curl -sS -d @`+s.folder+`/`+notificationFile+` "$CALLBACK_URL"`, "kubectl apply -f "+s.folder+"/"+upgradeFile)
	if s.hasPlugin {
		s.example(out, "What became of it, and each of its devices:", "kubectl fwupgrade status mine",
			"kubectl fwupgrade results mine")
	}
	out.Line("")
	out.Line("There are no admission policies, so that a full store refuses nothing.")
	out.Line("docs/tutorial.md goes on from here. Ctrl-C stops everything; but for the logs, in " + s.folder + ",")
	out.Line("nothing is kept.")
}

func (s *shell) example(out *console.Console, what string, commands ...string) {
	out.Line("")
	out.Line(what)
	for _, command := range commands {
		out.Line("  " + command)
	}
}

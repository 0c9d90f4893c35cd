// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// envtest keeps the ids of its processes to itself and lets them outlive a parent that was killed. So each is started
// through a script that notes its id and becomes the binary, and a guard waits for the end of its input, which the
// kernel closes when the parent is gone, to kill what is noted and remove the folder.

const wrapperScript = `#!/bin/sh
case "$*" in *--help*) exec '%[1]s' "$@" ;; esac
echo $$ >'%[2]s'
exec '%[1]s' "$@"
`

const guardScript = `trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/*.pid; do
	[ -e "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
done
rm -rf "$1"
`

// exitPollInterval is how often it is looked whether a killed process is gone, exitTimeout how long.
const (
	exitPollInterval = 10 * time.Millisecond
	exitTimeout      = 20 * time.Second
)

// guard owns the folder of a control plane and the ids of the processes that envtest started there.
type guard struct {
	dir  string
	cmd  *exec.Cmd
	life io.Closer
}

// newGuard makes a temporary folder and starts the guard of it.
func newGuard() (*guard, error) {
	dir, err := os.MkdirTemp("", "fwupgrade-controlplane-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the control plane: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", guardScript, "guard", dir) //nolint:noctx // It ends with its input.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	life, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the guard of the control plane: %w", err), os.RemoveAll(dir))
	}
	return &guard{dir: dir, cmd: cmd, life: life}, nil
}

// wrap returns the path of a script that runs the binary and notes its process id under the name.
func (g *guard) wrap(name, binary string) (string, error) {
	path := filepath.Join(g.dir, name+".sh")
	if strings.ContainsRune(path+binary, '\'') {
		return "", fmt.Errorf("the path of %s must not contain a quote: %s", name, binary)
	}
	script := fmt.Sprintf(wrapperScript, binary, g.pidFile(name))
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		return "", fmt.Errorf("write the script that starts %s: %w", name, err)
	}
	return path, nil
}

func (g *guard) pidFile(name string) string { return filepath.Join(g.dir, name+".pid") }

// pid returns the id of the process noted under the name.
func (g *guard) pid(name string) (int, error) {
	content, err := os.ReadFile(g.pidFile(name))
	if err != nil {
		return 0, fmt.Errorf("%s does not run: %w", name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("read the process id of %s: %w", name, err)
	}
	return pid, nil
}

// kill ends the process noted under the name with SIGKILL and waits until envtest has collected it.
func (g *guard) kill(name string) error {
	pid, err := g.pid(name)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	for deadline := time.Now().Add(exitTimeout); time.Now().Before(deadline); time.Sleep(exitPollInterval) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return g.forget(name)
		}
	}
	return fmt.Errorf("%s did not end within %s of SIGKILL", name, exitTimeout)
}

// signal sends a signal to the process noted under the name.
func (g *guard) signal(name string, signal syscall.Signal) error {
	pid, err := g.pid(name)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("send %s to %s: %w", signal, name, err)
	}
	return nil
}

// forget removes the note of a process that has ended, lest another with the same id be killed.
func (g *guard) forget(name string) error {
	if err := os.Remove(g.pidFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// close lets the guard do its work: what is still noted is killed and the folder removed.
func (g *guard) close() error {
	err := g.life.Close()
	if waitErr := g.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("end the guard of the control plane: %w", waitErr))
	}
	return err
}

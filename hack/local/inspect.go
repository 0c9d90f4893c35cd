// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import "errors"

// PIDs returns the ids of the processes of the control plane, by the name of the binary. It fails where one was killed.
func (c *Cluster) PIDs() (map[string]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, errStopped
	}
	pids := map[string]int{}
	var errs []error
	for _, name := range []string{etcdName, apiServerName} {
		pid, err := c.guard.pid(name)
		errs = append(errs, err)
		pids[name] = pid
	}
	if c.controllerManager != nil {
		pids[controllerManagerName] = c.controllerManager.PID()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return pids, nil
}

// EtcdMetricsURL returns where etcd serves its metrics: plain HTTP on a loopback address.
func (c *Cluster) EtcdMetricsURL() string {
	return c.env.ControlPlane.Etcd.URL.JoinPath("metrics").String()
}

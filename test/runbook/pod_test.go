// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

const (
	// knownImage is what an image begins with that the node has; others can't be pulled.
	knownImage = "fwupgrade-operator:"
	badTag     = "no-such-version"
	// mountedBelow is where the volumes of the Deployments are mounted.
	mountedBelow = "/etc/fwupgrade/"
)

// pod is a pod of the operator and the process that it is here. The node's lock guards it.
type pod struct {
	node     *node
	name     string
	dir      string
	log      *os.File
	process  *local.Manager
	ready    bool
	restarts int32
	// ending is closed when a process that was asked to end has ended.
	ending chan struct{}
}

func (p *pod) logFile() string { return filepath.Join(p.dir, "log") }

// sync brings the process nearer to what the object says, and the object's status to what the process is.
func (p *pod) sync(ctx context.Context, object *corev1.Pod) {
	switch {
	case object.DeletionTimestamp != nil:
		p.end(ctx, object)
		return
	case object.Spec.NodeName == "":
		_ = p.node.clients.CoreV1().Pods(object.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: object.Name, Namespace: object.Namespace, UID: object.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
		}, metav1.CreateOptions{}) // what failed is tried again
		return
	}
	waiting := p.run(ctx, object)
	p.ready = waiting == "" && p.process.Ready(ctx)
	p.tell(ctx, object, waiting)
}

// run makes sure that the process runs, or returns why it does not, as a kubelet calls it.
func (p *pod) run(ctx context.Context, object *corev1.Pod) string {
	container := object.Spec.Containers[0]
	if !strings.HasPrefix(container.Image, knownImage) || strings.HasSuffix(container.Image, badTag) {
		return "ImagePullBackOff"
	}
	if p.dir == "" {
		dir, err := os.MkdirTemp(p.node.dir, object.Name+"-")
		if err != nil {
			return err.Error()
		}
		p.dir = dir
		if p.log, err = os.Create(p.logFile()); err != nil {
			return err.Error()
		}
	}
	if err := p.mount(ctx, object); err != nil {
		return "ContainerCreating"
	}
	if p.process != nil {
		select {
		case <-p.process.Done():
			p.restarts++
		default:
			return ""
		}
	}
	config, err := p.node.cluster.ServiceAccountConfig(ctx, object.Namespace, object.Spec.ServiceAccountName)
	if err != nil {
		return "ContainerCreating"
	}
	if p.process, err = local.StartManager(ctx, local.ManagerOptions{
		Config: config, Dir: p.dir, Args: p.arguments(object), Env: harness.ContainerEnv(&container), Output: p.log,
		ReadyTimeout: -1, Components: object.Labels["app.kubernetes.io/component"],
	}); err != nil {
		p.process = nil
		return "RunContainerError"
	}
	return ""
}

// arguments are the container's, with what this machine has instead of a pod's network and files.
func (p *pod) arguments(object *corev1.Pod) []string {
	var args []string
	for _, arg := range harness.ContainerArgs(&object.Spec.Containers[0], object.Namespace) {
		if !strings.HasPrefix(arg, "--drain-duration=") {
			args = append(args, strings.ReplaceAll(arg, mountedBelow, p.dir+"/"))
		}
	}
	if object.Labels["app.kubernetes.io/component"] == "webhook" {
		args = append(args, "--drain-duration=1s") // no load balancer has to notice first
	}
	return args
}

// mount writes the Secrets that the pod mounts into its folder, also later, when they have changed.
func (p *pod) mount(ctx context.Context, object *corev1.Pod) error {
	for _, volume := range object.Spec.Volumes {
		if volume.Secret == nil {
			continue
		}
		secret, err := p.node.clients.CoreV1().Secrets(object.Namespace).Get(ctx, volume.Secret.SecretName,
			metav1.GetOptions{})
		switch optional := volume.Secret.Optional; {
		case apierrors.IsNotFound(err) && optional != nil && *optional:
			continue
		case err != nil && p.process != nil: // the API server is away, or it was deleted: the files stay
			continue
		case err != nil:
			return err
		}
		dir := filepath.Join(p.dir, volume.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for key, value := range secret.Data {
			path := filepath.Join(dir, key)
			if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, value) {
				continue
			}
			if err := errors.Join(os.WriteFile(path+".new", value, 0o600), os.Rename(path+".new", path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// end asks the process to end, and removes the object when it has.
func (p *pod) end(ctx context.Context, object *corev1.Pod) {
	p.ready = false
	if p.process != nil && p.ending == nil {
		p.ending = make(chan struct{})
		go func() {
			defer close(p.ending)
			_ = p.process.Stop(context.WithoutCancel(ctx)) // how it ended is in its log
		}()
	}
	if p.ending != nil {
		select {
		case <-p.ending:
		default:
			return
		}
	}
	now := int64(0)
	_ = p.node.clients.CoreV1().Pods(object.Namespace).Delete(ctx, object.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &object.UID},
	}) // what failed is tried again
}

// kill ends the process at once.
func (p *pod) kill() {
	if p.process != nil {
		_ = p.process.Kill() // it may have ended
	}
	if p.ending != nil {
		<-p.ending
	}
	if p.log != nil {
		_ = p.log.Close()
	}
}

func (p *pod) tail() string {
	if p.process == nil {
		return "(it never ran)"
	}
	return p.process.Tail()
}

// tell writes the status that a kubelet would.
func (p *pod) tell(ctx context.Context, object *corev1.Pod, waiting string) {
	next := object.DeepCopy()
	container := corev1.ContainerStatus{
		Name: object.Spec.Containers[0].Name, Image: object.Spec.Containers[0].Image, Ready: p.ready,
		Started: new(waiting == ""), RestartCount: p.restarts,
	}
	next.Status.Phase = corev1.PodRunning
	if waiting != "" {
		next.Status.Phase = corev1.PodPending
		container.State.Waiting = &corev1.ContainerStateWaiting{Reason: waiting}
	} else {
		container.State.Running = &corev1.ContainerStateRunning{StartedAt: object.CreationTimestamp}
	}
	next.Status.ContainerStatuses = []corev1.ContainerStatus{container}
	is := corev1.ConditionFalse
	if p.ready {
		is = corev1.ConditionTrue
	}
	next.Status.Conditions = nil
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		condition := corev1.PodCondition{Type: kind, Status: is, LastTransitionTime: metav1.NewTime(time.Now())}
		for _, old := range object.Status.Conditions {
			if old.Type == kind && old.Status == is {
				condition.LastTransitionTime = old.LastTransitionTime
			}
		}
		next.Status.Conditions = append(next.Status.Conditions, condition)
	}
	if !equality.Semantic.DeepEqual(object.Status, next.Status) {
		// What failed is tried again.
		_, _ = p.node.clients.CoreV1().Pods(object.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	}
}

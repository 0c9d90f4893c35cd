// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/internal/upgrade"
)

// side is a way to store results that is measured. A further one is a file that implements it, and a row in sidesOf.
type side interface {
	// start starts the receiver for one round and returns when it takes pushes; it returns the id of its process and
	// the host:port and path of the callback.
	start(ctx context.Context, turn *turn) (pid int, address, path string, err error)
	// settle returns when everything has followed from what was pushed, with an error if it is not what has to follow.
	settle(ctx context.Context, turn *turn) error
	// stored returns what is stored; ok is false where nothing is.
	stored(ctx context.Context, turn *turn) (results []upgrade.Result, ok bool, err error)
	// stop ends the receiver and removes what would disturb the next turn. It is called even if start failed.
	stop(ctx context.Context, turn *turn) error
}

// turn is one round of one side.
type turn struct {
	// namespace is where it stores, and nobody else does.
	namespace string
	// plan is what is pushed.
	plan    *platform.Plan
	cluster *local.Cluster
	api     client.WithWatch
	// log gets what the receiver logs.
	log io.Writer
}

// contender is a side, its name, and how much is pushed to it in a round.
type contender struct {
	key, title     string
	results, tasks int
	side           side
}

// The keys of the sides.
const (
	keyOperator      = "operator"
	keyOperatorTasks = "operator-tasks"
	keyObject        = "object"
	keyFloor         = "floor"
	keyDecode        = "decode"
	keyWebhook       = "webhook"
	keyWebhookTasks  = "webhook-tasks"
	keyFloorTasks    = "floor-tasks"
)

// defaultSides are those that are compared where nothing else is asked for.
func defaultSides() []string {
	return []string{keyOperator, keyOperatorTasks, keyObject, keyFloor, keyDecode}
}

// sideKeys are all sides. Those beside the default ones tell where the operator's time goes.
func sideKeys() []string {
	return append(defaultSides(), keyWebhook, keyWebhookTasks, keyFloorTasks)
}

// sidesOf returns the sides that the options name, in their order.
func sidesOf(o *options) []contender {
	operator := &operatorSide{args: o.managerArgs}
	all := map[string]contender{
		keyOperator:      {title: "operator", results: o.results, tasks: 1, side: operator},
		keyOperatorTasks: {title: "operator", results: o.results, tasks: o.tasks, side: operator},
		keyObject:        {title: "one object a result", results: o.objectResults, tasks: 1, side: newObjectSide()},
		keyFloor:         {title: "opaque ConfigMaps", results: o.results, tasks: 1, side: newFloorSide()},
		keyDecode:        {title: "decoding only, nothing stored", results: o.results, tasks: 1, side: newDecodeSide()},
		keyWebhook:       {title: "webhook alone", results: o.results, tasks: 1, side: newWebhookSide()},
		keyWebhookTasks:  {title: "webhook alone", results: o.results, tasks: o.tasks, side: newWebhookSide()},
		keyFloorTasks:    {title: "opaque ConfigMaps", results: o.results, tasks: o.tasks, side: newFloorSide()},
	}
	var chosen []contender
	for _, key := range o.sides {
		c := all[key]
		c.key = key
		c.title += ", 1 task"
		if c.tasks > 1 {
			c.title = fmt.Sprintf("%s, %d tasks", all[key].title, c.tasks)
		}
		chosen = append(chosen, c)
	}
	return chosen
}

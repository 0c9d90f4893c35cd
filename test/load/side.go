// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/internal/result"
)

// side is a way to store results that is measured. A further one is a file that implements it, and a row in sidesOf.
type side interface {
	// start starts the side for one round and returns when it takes pushes.
	start(ctx context.Context, turn *turn) (*started, error)
	// settle returns when everything has followed from what was pushed, with an error if it is not what has to follow.
	settle(ctx context.Context, turn *turn) error
	// seen returns what the side told; nil where it has no statuses.
	seen(ctx context.Context, turn *turn) (*told, error)
	// stored returns what is stored; ok is false where nothing is.
	stored(ctx context.Context, turn *turn) (results []result.Result, ok bool, err error)
	// stop ends the receiver and removes what would disturb the next turn. It is called even if start failed.
	stop(ctx context.Context, turn *turn) error
}

// started is a side that takes pushes.
type started struct {
	// pids are the ids of its processes.
	pids map[string]int
	// address is host:port of the callback, path its path.
	address, path string
}

// turn is one round of one side.
type turn struct {
	// namespace is where it stores, and nobody else does.
	namespace string
	// plan is what is pushed, and answers are how that went, as soon as it did.
	plan    *platform.Plan
	answers pushed
	// expected is how many devices the FirmwareUpgrade of a task expects, by the number of the task; nil for as many as
	// push.
	expected func(task int, devices int64) int64
	// receiver is whom what takes pushes acts as, and controllers whom the operator's controllers do; api acts as the
	// administrator.
	receiver, controllers *rest.Config
	api                   client.WithWatch
	// log gets what the receiver logs.
	log io.Writer
}

// contender is a side, its name, and how much is pushed to it in a turn.
type contender struct {
	key, title string
	// results is how many results are pushed in a closed loop, and warmup how many before the clock is started.
	results, warmup int
	tasks           int
	side            side
	// strict sides have to answer every push 200. Of others it is counted what they don't.
	strict bool
	// loads, if not nil, are the keys of the only loads that it takes part in.
	loads []string
}

func (c *contender) takes(l load) bool { return c.loads == nil || slices.Contains(c.loads, l.Key) }

// The keys of the sides.
const (
	keyOperator      = "operator"
	keyOperatorTasks = "operator-tasks"
	keyObject        = "object"
	keyInline        = "inline"
	keyFloor         = "floor"
	keyDecode        = "decode"
	keyWebhook       = "webhook"
	keyWebhookTasks  = "webhook-tasks"
	keyFloorTasks    = "floor-tasks"
)

// defaultSides are those that are compared where nothing else is asked for.
func defaultSides() []string {
	return []string{keyOperator, keyOperatorTasks, keyObject, keyInline, keyFloor, keyDecode}
}

// sideKeys are all sides. Those beside the default ones tell where the operator's time goes.
func sideKeys() []string {
	return append(defaultSides(), keyWebhook, keyWebhookTasks, keyFloorTasks)
}

// sidesOf returns the sides that the options name, in their order.
func sidesOf(o *options) []contender {
	operator := &operatorSide{args: o.managerArgs}
	all := map[string]contender{
		keyOperator:      {title: "operator, 1 task", tasks: 1, side: operator, strict: true},
		keyOperatorTasks: {title: "operator", tasks: o.tasks, side: operator, strict: true},
		keyObject:        {title: "one object a result", results: o.objectResults, tasks: 1, side: newObjectSide()},
		keyInline: {title: "inline list", results: o.inlineResults, tasks: 1, side: newInlineSide(),
			loads: inlineLoads(o)},
		keyFloor:        {title: "opaque ConfigMaps", tasks: 1, side: newFloorSide()},
		keyDecode:       {title: "decoding only", tasks: 1, side: newDecodeSide()},
		keyWebhook:      {title: "webhook alone, 1 task", tasks: 1, side: newWebhookSide()},
		keyWebhookTasks: {title: "webhook alone", tasks: o.tasks, side: newWebhookSide()},
		keyFloorTasks:   {title: "opaque ConfigMaps", tasks: o.tasks, side: newFloorSide()},
	}
	var chosen []contender
	for _, key := range o.sides {
		c := all[key]
		c.key = key
		if c.results == 0 {
			c.results = o.results
		}
		c.warmup = min(o.warmup, c.results/4)
		if c.tasks > 1 {
			c.title = fmt.Sprintf("%s, %d tasks", c.title, c.tasks)
		}
		chosen = append(chosen, c)
	}
	return chosen
}

// devicesOf returns how many devices the FirmwareUpgrade of a task expects.
func (t *turn) devicesOf(task int, devices int64) int64 {
	if t.expected == nil {
		return devices
	}
	return t.expected(task, devices)
}

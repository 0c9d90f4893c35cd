// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/pflag"
)

// options are the flags.
type options struct {
	seed            uint64
	duration, epoch time.Duration
	rate            float64
	faultEvery      time.Duration
	only            int
	keep            []int
	shrink          time.Duration
	logs, binary    string
	platform        bool
	fsync           bool
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("chaos", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Uint64Var(&o.seed, "seed", 0, "what the plan and the faults follow from; 0 for a new one, which is printed")
	fs.DurationVar(&o.duration, "duration", 2*time.Minute, "how long epochs are begun; each takes longer, to come to rest")
	fs.DurationVar(&o.epoch, "epoch", 75*time.Second, "how long devices report, and faults strike, in an epoch")
	fs.Float64Var(&o.rate, "rate", 120, "notifications a second, on average")
	fs.DurationVar(&o.faultEvery, "fault-every", 6*time.Second, "how far apart faults are, on average")
	fs.IntVar(&o.only, "only-epoch", -1, "run this epoch alone, as a failed run says")
	fs.IntSliceVar(&o.keep, "only-faults", nil, "of that epoch let only these faults strike; 0 for none")
	fs.DurationVar(&o.shrink, "shrink", 15*time.Minute,
		"how long to look for the fewest faults with which a failed epoch fails; 0 not to look")
	fs.StringVar(&o.logs, "logs", "",
		"folder for the logs (default: a temporary one, which is removed when nothing was wrong)")
	fs.StringVar(&o.binary, "manager", "bin/manager-chaos", "the operator, as test/chaos/build.sh builds it")
	fs.BoolVar(&o.platform, "platform", false, "a platform, too, on which tasks from Git are created")
	fs.BoolVar(&o.fsync, "fsync", true, "etcd syncs its log to the disk, as in production")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0))
	}
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32()) //nolint:gosec // It only has to be another one each time.
	}
	switch {
	case o.epoch < 20*time.Second || o.epoch > 10*time.Minute:
		return nil, fmt.Errorf("--epoch must be from 20s to 10m, not %s", o.epoch)
	case o.rate < 1 || o.rate > 1000:
		return nil, fmt.Errorf("--rate must be from 1 to 1000, not %g", o.rate)
	case o.faultEvery < 100*time.Millisecond:
		return nil, fmt.Errorf("--fault-every must be at least 100ms, not %s", o.faultEvery)
	case o.duration < 0 || o.duration > 24*time.Hour:
		return nil, fmt.Errorf("--duration must be from 0 to 24h, not %s", o.duration)
	case len(o.keep) > 0 && o.only < 0:
		return nil, fmt.Errorf("--only-faults needs --only-epoch")
	}
	return o, nil
}

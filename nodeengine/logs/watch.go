// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// gather is how long changes are gathered: it bounds what many talkative workloads cost, and how exact times are.
	gather = 50 * time.Millisecond
	// scanEvery is how often all logs are looked at where the kernel tells of changes, pollEvery where it does not.
	scanEvery = 30 * time.Second
	pollEvery = 500 * time.Millisecond
)

// Run bounds the logs and notes their times until ctx ends.
func (f *Folder) Run(ctx context.Context) {
	f.tell(f.scan())
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer func() { _ = watcher.Close() }()
		err = watcher.Add(f.dir)
	}
	if err != nil {
		f.log.Warn("the kernel does not tell when logs change: they are looked at twice a second (is fs.inotify.max_user_instances used up?)", "error", err)
		f.poll(ctx)
		return
	}
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	changed := map[string]struct{}{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.tell(f.scan())
		case err := <-watcher.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				err = f.scan()
			}
			f.tell(err)
		case e := <-watcher.Events:
			f.gather(ctx, watcher, e, changed)
		}
	}
}

// gather takes in an event and those that follow it soon.
func (f *Folder) gather(ctx context.Context, watcher *fsnotify.Watcher, first fsnotify.Event, changed map[string]struct{}) {
	clear(changed)
	add := func(e fsnotify.Event) {
		if id, ok := strings.CutSuffix(filepath.Base(e.Name), suffix); ok && e.Has(fsnotify.Write|fsnotify.Create) {
			changed[id] = struct{}{}
		}
	}
	add(first)
	if len(changed) == 0 {
		return
	}
	now := time.Now()
	f.noteAll(changed, now) // at once: who follows a quiet log waits for this one line
	clear(changed)
	// Meanwhile the kernel joins what it has to say of one file.
	select {
	case <-ctx.Done():
		return
	case <-time.After(gather):
	}
	for range 4096 {
		select {
		case e := <-watcher.Events:
			add(e)
			continue
		case <-time.After(time.Millisecond):
		}
		break
	}
	f.noteAll(changed, time.Now())
}

func (f *Folder) noteAll(changed map[string]struct{}, now time.Time) {
	for id := range changed {
		f.tell(f.note(id, now))
	}
}

func (f *Folder) poll(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.tell(f.scan())
		}
	}
}

func (f *Folder) tell(err error) {
	if err != nil {
		f.log.Warn("logs of workloads are not bounded", "error", err)
	}
}

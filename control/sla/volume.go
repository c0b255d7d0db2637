// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// volumeRE keeps volume ids and driver names usable as parts of a path.
var volumeRE = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$`)

// Mount returns where the volume is mounted in the container.
func (v *Volume) Mount() string {
	if v.MountPath == "" {
		return "/mnt/csi/" + v.ID
	}
	return v.MountPath
}

// volumes reads $.volumes of a microservice.
func (r *reader) volumes(o *object) []Volume {
	var out []Volume
	mounts := map[string]string{}
	for _, item := range o.objects("volumes", optional) {
		v := Volume{
			ID:        r.volumeName(item, "volume_id"),
			Driver:    r.volumeName(item, "csi_driver"),
			MountPath: item.string("mount_path", optional),
		}
		if raw, ok := item.take("config", optional); ok {
			v.Config = r.stringMap(r.object(item.at("config"), raw))
		}
		if m := v.MountPath; m != "" && (!path.IsAbs(m) || path.Clean(m) != m || m == "/" || strings.ContainsRune(m, 0)) {
			r.fail(item.at("mount_path"), "%q is no absolute path in its shortest form below /", clip(m))
		}
		if first, ok := mounts[v.Mount()]; ok && v.ID != "" {
			r.fail(item.path, "is mounted at %s like %s", clip(v.Mount()), first)
		}
		mounts[v.Mount()] = item.path
		v.Extra = item.rest()
		out = append(out, v)
	}
	return out
}

func (r *reader) volumeName(o *object, key string) string {
	var s string
	if o.as(key, "a string", required, &s) && !volumeRE.MatchString(s) {
		r.fail(o.at(key), "%q does not match %s", clip(s), volumeRE)
	}
	return s
}

// stringMap reads an object whose values are all strings; nil if it is empty.
func (r *reader) stringMap(o *object) map[string]string {
	var out map[string]string
	for _, key := range slices.Sorted(maps.Keys(o.fields)) {
		raw := o.fields[key]
		var s string
		if got := kind(raw); got != "a string" || json.Unmarshal(raw, &s) != nil {
			r.fail(o.path+"."+clip(key), "expected a string, got %s", got)
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = s
	}
	return out
}

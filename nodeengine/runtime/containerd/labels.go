// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Labels of a container. Those without use here are for people with ctr or crictl.
const (
	labelService    = "io.oakestra.service"
	labelNumber     = "io.oakestra.instance"
	labelGeneration = "io.oakestra.generation"
	labelJob        = "io.oakestra.job"
	labelWorker     = "io.oakestra.worker"
	// labelCompleted marks a one-shot container that ended well: "CODE@RFC3339".
	labelCompleted = "io.oakestra.completed"
)

// extension holds the instance as JSON: a label's value may have 4096 bytes only, a specification more.
const (
	extension     = "io.oakestra.instance"
	extensionType = "types.oakestra.io/instance/v1"
)

// reserved are the prefixes of labels that mean something to this program or to containerd, so that no descriptor can set them.
var reserved = [...]string{"io.oakestra.", "containerd.io/", "nerdctl/", "io.cri-containerd."}

// maxLabel is how long containerd lets a label be, key and value together.
const maxLabel = 4096

// labels are the descriptor's own, and over them ours.
func (r *Runtime) labels(in runtime.Instance) map[string]string {
	labels := make(map[string]string, len(in.Spec.Labels)+5)
	for key, value := range in.Spec.Labels {
		own := slices.ContainsFunc(reserved[:], func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if !own && len(key)+len(value) <= maxLabel {
			labels[key] = value
		}
	}
	labels[labelService] = in.ServiceID
	labels[labelNumber] = strconv.Itoa(in.Number)
	labels[labelGeneration] = in.Generation.String()
	labels[labelJob] = in.Spec.JobName
	labels[labelWorker] = r.opts.WorkerID
	return labels
}

func encodeInstance(in runtime.Instance) (*anypb.Any, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode instance: %w", err)
	}
	return &anypb.Any{TypeUrl: extensionType, Value: data}, nil
}

// decodeInstance reads what [encodeInstance] wrote. The id is trusted over the content.
func decodeInstance(c containers.Container) (runtime.Instance, error) {
	var in runtime.Instance
	ext, ok := c.Extensions[extension]
	if !ok || ext.GetTypeUrl() != extensionType {
		return in, fmt.Errorf("container %s has no specification of ours", c.ID)
	}
	if err := json.Unmarshal(ext.GetValue(), &in); err != nil {
		return in, fmt.Errorf("read specification of container %s: %w", c.ID, err)
	}
	if in.ID() != c.ID {
		return in, fmt.Errorf("container %s holds the specification of %s", c.ID, in.ID())
	}
	return in, nil
}

func completedLabel(e runtime.Exit) string {
	return strconv.FormatUint(uint64(e.Code), 10) + "@" + e.At.UTC().Format(time.RFC3339Nano)
}

// parseCompleted reads what completedLabel wrote; what cannot be read counts as an exit with code 0 at an unknown time.
func parseCompleted(s string) runtime.Exit {
	var e runtime.Exit
	for i := range len(s) {
		if s[i] != '@' {
			continue
		}
		if code, err := strconv.ParseUint(s[:i], 10, 32); err == nil {
			e.Code = uint32(code)
		}
		if at, err := time.Parse(time.RFC3339Nano, s[i+1:]); err == nil {
			e.At = at
		}
		break
	}
	return e
}

// mark adds one label to a container.
func (r *Runtime) mark(ctx context.Context, id, key, value string) error {
	_, err := r.client.ContainerService().Update(ctx, containers.Container{ID: id, Labels: map[string]string{key: value}}, "labels."+key)
	return err
}

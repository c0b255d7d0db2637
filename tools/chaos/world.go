// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Services of the application of each cluster: clients call steady, of which nothing changes; changing gets and loses instances.
const (
	serviceClient   = "client"
	serviceSteady   = "steady"
	serviceChanging = "changing"
)

// begin says how many instances of each service there are at first.
var begin = map[string]int{serviceClient: 1, serviceSteady: 3, serviceChanging: 2}

// World is a testbed with an application in each cluster.
type World struct {
	Testbed *testbed.Testbed
	Scene   *scene.Scene
	// bin is the folder of the programs.
	bin string
	// services are their ids by cluster and name.
	services map[string]map[string]*client.Service
}

// NewWorld deploys the applications and waits until all is as it should be.
func NewWorld(ctx context.Context, s *scene.Scene, bin string) (*World, error) {
	w := &World{Testbed: s.Testbed, Scene: s, bin: bin, services: map[string]map[string]*client.Service{}}
	images, err := s.PushImages(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range s.Testbed.Hosts(testbed.RoleCluster) {
		raw, err := descriptor(c.Name, images)
		if err != nil {
			return nil, err
		}
		if _, err := s.API.CreateApplication(ctx, raw); err != nil {
			return nil, err
		}
	}
	if err := w.find(ctx); err != nil {
		return nil, err
	}
	for _, services := range w.services {
		for name, v := range services {
			for range begin[name] {
				if err := s.API.AddInstance(ctx, v.ID); err != nil {
					return nil, err
				}
			}
		}
	}
	return w, nil
}

// find notes which services there are.
func (w *World) find(ctx context.Context) error {
	all, err := w.Scene.API.AllServices(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		cluster, name, ok := strings.Cut(v.Name, "x")
		if !ok {
			continue
		}
		if w.services[cluster] == nil {
			w.services[cluster] = map[string]*client.Service{}
		}
		one, err := w.Scene.API.Service(ctx, v.ID)
		if err != nil {
			return err
		}
		w.services[cluster][name] = one
	}
	if len(w.services) != len(w.Testbed.Hosts(testbed.RoleCluster)) {
		return fmt.Errorf("find the services of each cluster: there are %d", len(w.services))
	}
	return nil
}

// descriptor is the application of a cluster. Names of services have the cluster's in front.
func descriptor(cluster string, images []string) ([]byte, error) {
	type object = map[string]any
	image := func(name string) string {
		i := slices.IndexFunc(images, func(s string) bool { return strings.Contains(s, name) })
		return images[max(i, 0)]
	}
	var services []object
	for name, from := range map[string]string{serviceClient: scene.ImageClient, serviceSteady: scene.ImageServer, serviceChanging: scene.ImageServer} {
		services = append(services, object{
			"microserviceID": "", "microservice_name": cluster + "x" + name, "microservice_namespace": "chaos", "virtualization": "container",
			"code": image(from), "memory": 32, "vcpus": 0, "storage": 0,
			"constraints": []object{{"type": "clusters", "allowed": []string{cluster}}},
		})
	}
	return json.Marshal(object{"sla_version": "v2.0", "customerID": "Admin", "applications": []object{{
		"applicationID": "", "application_name": cluster, "application_namespace": "chaos", "application_desc": "serves while things break",
		"microservices": services,
	}}})
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Services of the application of each cluster: clients call steady, of which nothing changes; changing gets and loses instances. The
// instances of wide, an application of its own, are in all clusters; nothing of it changes either.
const (
	serviceClient   = "client"
	serviceSteady   = "steady"
	serviceChanging = "changing"
	serviceWide     = "wide"
)

// namespace is that of all applications and services.
const namespace = "chaos"

// begin says how many instances of each service there are at first; those of wide for each cluster.
var begin = map[string]int{serviceClient: 1, serviceSteady: 3, serviceChanging: 2, serviceWide: 2}

// World is a testbed with an application in each cluster, and one in all of them.
type World struct {
	Testbed *testbed.Testbed
	Scene   *scene.Scene
	// apis are those of all root orchestrators; Scene's is the first.
	apis []*client.Client
	// bin is the folder of the programs.
	bin string
	// services are their ids by cluster and name.
	services map[string]map[string]*client.Service
	wide     *client.Service
	images   []string
}

// NewWorld deploys the applications. It does not wait until all runs.
func NewWorld(ctx context.Context, s *scene.Scene, bin string) (*World, error) {
	w := &World{Testbed: s.Testbed, Scene: s, bin: bin, services: map[string]map[string]*client.Service{}, apis: []*client.Client{s.API}}
	for _, h := range s.Testbed.Hosts(testbed.RoleRoot)[1:] {
		api, err := s.LoginAt(ctx, h.Name)
		if err != nil {
			return nil, err
		}
		w.apis = append(w.apis, api)
	}
	images, err := s.PushImages(ctx)
	if err != nil {
		return nil, err
	}
	w.images = images
	var raws [][]byte
	for _, c := range s.Testbed.Hosts(testbed.RoleCluster) {
		raw, err := descriptor(c.Name, images)
		if err != nil {
			return nil, err
		}
		raws = append(raws, raw)
	}
	wide, err := application(serviceWide, []object{service(serviceWide, scene.ImageServer, images)})
	if err != nil {
		return nil, err
	}
	for _, raw := range append(raws, wide) {
		if _, err := s.API.CreateApplication(ctx, raw); err != nil {
			return nil, err
		}
	}
	if err := w.find(ctx); err != nil {
		return nil, err
	}
	return w, w.fill(ctx)
}

// fill asks for the instances that there are at first.
func (w *World) fill(ctx context.Context) error {
	for _, services := range w.services {
		for name, v := range services {
			for range begin[name] {
				if err := w.Scene.API.AddInstance(ctx, v.ID); err != nil {
					return err
				}
			}
		}
	}
	for range begin[serviceWide] * len(w.services) {
		if err := w.Scene.API.AddInstance(ctx, w.wide.ID); err != nil {
			return err
		}
	}
	return nil
}

// find notes which services there are.
func (w *World) find(ctx context.Context) error {
	all, err := w.Scene.API.AllServices(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		one, err := w.Scene.API.Service(ctx, v.ID)
		if err != nil {
			return err
		}
		if v.Name == serviceWide {
			w.wide = one
			continue
		}
		cluster, name, ok := strings.Cut(v.Name, "x")
		if !ok {
			continue
		}
		if w.services[cluster] == nil {
			w.services[cluster] = map[string]*client.Service{}
		}
		w.services[cluster][name] = one
	}
	if len(w.services) != len(w.Testbed.Hosts(testbed.RoleCluster)) || w.wide == nil {
		return fmt.Errorf("find the services of each cluster: there are %d, and %v", len(w.services), w.wide)
	}
	return nil
}

// servers are all services that can be called.
func (w *World) servers() []*client.Service {
	all := []*client.Service{w.wide}
	for _, cluster := range slices.Sorted(maps.Keys(w.services)) {
		all = append(all, w.services[cluster][serviceSteady], w.services[cluster][serviceChanging])
	}
	return all
}

// spread checks that the service of all clusters has instances in each of them: otherwise none of its calls would go from one to another.
func (w *World) spread(v *Verdict) error {
	in := map[string]int{}
	for i, worker := range v.want.copies {
		h, err := w.Testbed.Host(worker)
		if err != nil {
			return err
		}
		if i.service == string(w.wide.ID) {
			in[h.Cluster]++
		}
	}
	if len(in) != len(w.services) {
		return fmt.Errorf("service %s is to be in %d clusters, its instances by cluster are %v", serviceWide, len(w.services), in)
	}
	return nil
}

type object = map[string]any

// descriptor is the application of a cluster. Names of services have the cluster's in front.
func descriptor(cluster string, images []string) ([]byte, error) {
	var services []object
	for name, from := range map[string]string{serviceClient: scene.ImageClient, serviceSteady: scene.ImageServer, serviceChanging: scene.ImageServer} {
		s := service(cluster+"x"+name, from, images)
		s["constraints"] = []object{{"type": "clusters", "allowed": []string{cluster}}}
		services = append(services, s)
	}
	return application(cluster, services)
}

func service(name, image string, images []string) object {
	i := slices.IndexFunc(images, func(s string) bool { return strings.Contains(s, image) })
	return object{
		"microserviceID": "", "microservice_name": name, "microservice_namespace": namespace, "virtualization": "container",
		"code": images[max(i, 0)], "memory": 32, "vcpus": 0, "storage": 0,
	}
}

func application(name string, services []object) ([]byte, error) {
	return json.Marshal(object{"sla_version": "v2.0", "customerID": "Admin", "applications": []object{{
		"applicationID": "", "application_name": name, "application_namespace": namespace, "application_desc": "serves while things break",
		"microservices": services,
	}}})
}

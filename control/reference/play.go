// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// settles bounds how long something may take to come about, poll is how often it is looked for.
	settles = 90 * time.Second
	poll    = 50 * time.Millisecond
)

// Play takes the first application of a descriptor through its life as users' clients do: it is created, its services are deployed, scaled
// up and down, read in every documented way, and deleted. It fails at the first thing that is not as documented.
func (c *Client) Play(ctx context.Context, descriptor []byte) error {
	var sla struct {
		Applications []struct {
			Name      string `json:"application_name"`
			Namespace string `json:"application_namespace"`
			Services  []Doc  `json:"microservices"`
		} `json:"applications"`
	}
	if err := json.Unmarshal(descriptor, &sla); err != nil {
		return err
	}
	wanted := sla.Applications[0]
	var apps []Doc
	if err := c.call(ctx, http.MethodPost, "/api/application/", descriptor, &apps); err != nil {
		return err
	}
	i := slices.IndexFunc(apps, func(a Doc) bool {
		return a["application_name"] == wanted.Name && a["application_namespace"] == wanted.Namespace
	})
	if i < 0 {
		return fmt.Errorf("POST /api/application/ answers with the user's applications, of which the new one is one")
	}
	id, _ := apps[i]["applicationID"].(string)
	if err := c.again(ctx, descriptor); err != nil {
		return err
	}
	services, err := c.look(ctx, id, wanted.Name)
	if err != nil {
		return err
	}
	if len(services) != len(wanted.Services) {
		return fmt.Errorf("the application has %d services, want %d", len(services), len(wanted.Services))
	}
	for _, s := range services {
		if err := c.live(ctx, s); err != nil {
			return fmt.Errorf("service %v: %w", s["job_name"], err)
		}
	}
	if err := c.call(ctx, http.MethodDelete, "/api/application/"+id, nil, nil); err != nil {
		return err
	}
	return c.gone(ctx, "/api/application/"+id)
}

// again: a name is given once.
func (c *Client) again(ctx context.Context, descriptor []byte) error {
	err := c.call(ctx, http.MethodPost, "/api/application/", descriptor, nil)
	var refused *StatusError
	if !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Message == "" {
		return fmt.Errorf("an application of the same name and namespace is a 409 with a message, got %w", err)
	}
	return nil
}

// look reads an application in every way, and returns its services.
func (c *Client) look(ctx context.Context, id, name string) ([]Doc, error) {
	var app Doc
	if err := c.call(ctx, http.MethodGet, "/api/application/"+id, nil, &app); err != nil {
		return nil, err
	}
	if app["application_name"] != name || app["userId"] == nil || app["microservices"] == nil {
		return nil, fmt.Errorf("GET /api/application/ID answers %v", app)
	}
	for _, path := range []string{"/api/applications/" + c.user, "/api/applications/"} {
		var list []Doc
		if err := c.call(ctx, http.MethodGet, path, nil, &list); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(a Doc) bool { return a["applicationID"] == id }) {
			return nil, fmt.Errorf("GET %s lacks the application", path)
		}
	}
	var services []Doc
	err := c.call(ctx, http.MethodGet, "/api/services/"+id, nil, &services)
	return services, err
}

// live deploys a service, scales it up and down, and removes its instances.
func (c *Client) live(ctx context.Context, s Doc) error {
	id, _ := s["microserviceID"].(string)
	path := "/api/service/" + id
	if oid, _ := s["_id"].(Doc); oid["$oid"] != id || id == "" {
		return fmt.Errorf("_id is {\"$oid\": microserviceID}, got %v and %q", s["_id"], id)
	}
	for _, key := range []string{"job_name", "app_name", "app_ns", "service_name", "service_ns", "image", "RR_ip", "RR_ip_v6", "instance_list", "applicationID"} {
		if _, ok := s[key]; !ok {
			return fmt.Errorf("the document lacks %s", key)
		}
	}
	for n := 1; n <= 2; n++ {
		var ok Doc
		if err := c.call(ctx, http.MethodPost, path+"/instance", nil, &ok); err != nil {
			return err
		}
		if ok["message"] != "ok" {
			return fmt.Errorf("POST …/instance answers %v", ok)
		}
		if _, err := c.running(ctx, path, n); err != nil {
			return err
		}
	}
	instances, err := c.running(ctx, path, 2)
	if err != nil {
		return err
	}
	if err := c.address(ctx, s, instances); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, fmt.Sprintf("%s/instance/%v", path, instances[0]["instance_number"]), nil, nil); err != nil {
		return err
	}
	if _, err := c.running(ctx, path, 1); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, path+"/instance/-1", nil, nil); err != nil {
		return err
	}
	if _, err := c.running(ctx, path, 0); err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	return c.gone(ctx, path)
}

// address reads what the network's part of the API says of a service.
func (c *Client) address(ctx context.Context, s Doc, instances []Doc) error {
	for _, path := range []string{fmt.Sprint("/api/pubnet/service/netinfo/", s["job_name"]), fmt.Sprint("/api/pubnet/service/netinfo/ip/", s["RR_ip"])} {
		var info struct {
			ID        string `json:"service_job_id"`
			Addresses []Doc  `json:"service_ip_list"`
			Instances []Doc  `json:"instance_list"`
		}
		if err := c.call(ctx, http.MethodGet, path, nil, &info); err != nil {
			return err
		}
		if info.ID != s["microserviceID"] || len(info.Addresses) == 0 || info.Addresses[0]["IpType"] == nil || info.Addresses[0]["Address"] != s["RR_ip"] {
			return fmt.Errorf("GET %s answers %+v", path, info)
		}
		if len(info.Instances) != len(instances) || info.Instances[0]["instance_ip"] == "" || info.Instances[0]["cluster_id"] == "" {
			return fmt.Errorf("GET %s has instances %v", path, info.Instances)
		}
	}
	return nil
}

// running waits until a service has exactly n instances, all running, and returns them.
func (c *Client) running(ctx context.Context, path string, n int) ([]Doc, error) {
	var job struct {
		Instances []Doc `json:"instance_list"`
	}
	for deadline := time.Now().Add(settles); ; {
		if err := c.call(ctx, http.MethodGet, path, nil, &job); err != nil {
			return nil, err
		}
		if len(job.Instances) == n && !slices.ContainsFunc(job.Instances, func(i Doc) bool { return i["status"] != "RUNNING" }) {
			return job.Instances, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("there are not %d running instances: %v", n, job.Instances)
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// gone waits until there is nothing at a path.
func (c *Client) gone(ctx context.Context, path string) error {
	for deadline := time.Now().Add(settles); ; {
		err := c.call(ctx, http.MethodGet, path, nil, nil)
		var refused *StatusError
		if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is still there: %w", path, err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(poll):
		return nil
	}
}

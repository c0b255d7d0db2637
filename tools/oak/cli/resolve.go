// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// findApplication returns the application that an id, a NAME or a NAME.NAMESPACE means.
func findApplication(ctx context.Context, c *client.Client, wanted string) (*client.Application, error) {
	all, err := c.Applications(ctx)
	if err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	return pick("application", wanted, all, "oak application list", func(a client.Application) []string {
		return []string{string(a.ID), a.Name, a.Name + "." + a.Namespace}
	})
}

// findService returns the service that an id, a NAME, a NAME.NAMESPACE or a job name means, if it is unique.
func findService(ctx context.Context, c *client.Client, wanted string) (*client.Service, error) {
	all, err := allServices(ctx, c, "")
	if err != nil {
		return nil, err
	}
	return pick("service", wanted, all, "oak service list", func(s client.Service) []string {
		return []string{string(s.ID), s.Name, s.Name + "." + s.Namespace, jobName(s)}
	})
}

// findCluster returns the cluster that an id or a name means.
func findCluster(ctx context.Context, c *client.Client, wanted string) (*client.Cluster, error) {
	all, err := c.Clusters(ctx)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	return pick("cluster", wanted, all, "oak cluster list", func(k client.Cluster) []string {
		return []string{string(k.ID), k.Name}
	})
}

// pick returns the one item of which a name, the first of which is its id, is the wanted one.
func pick[T any](kind, wanted string, all []T, list string, names func(T) []string) (*T, error) {
	var found []*T
	var ids []string
	for i := range all {
		for _, name := range names(all[i]) {
			if name != "" && name == wanted {
				found = append(found, &all[i])
				ids = append(ids, names(all[i])[0])
				break
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, cmdline.NotFoundf("no %s %q: `%s` shows all", kind, wanted, list)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d %ss are called %q: use an id: %s", len(found), kind, wanted, strings.Join(ids, ", "))
}

// allServices lists the services of one application, or of all of the user's if it is not given.
func allServices(ctx context.Context, c *client.Client, application string) ([]client.Service, error) {
	if application != "" {
		a, err := findApplication(ctx, c, application)
		if err != nil {
			return nil, err
		}
		services, err := c.Services(ctx, a.ID)
		if err != nil {
			return nil, fmt.Errorf("list services of application %s: %w", a.Name, err)
		}
		return services, nil
	}
	apps, err := c.Applications(ctx)
	if err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	all, err := c.AllServices(ctx)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	// An administrator sees everybody's; without asking for that only the own ones are meant.
	return slices.DeleteFunc(all, func(s client.Service) bool {
		return !slices.ContainsFunc(apps, func(a client.Application) bool { return a.ID == s.ApplicationID })
	}), nil
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// instance is a copy of an instance: what one row, one container and one endpoint stand for.
type instance struct {
	service    string
	number     int
	generation string // PLACEMENT-MOVE
}

func (i instance) key() string    { return fmt.Sprintf("%s.%d", i.service, i.number) }
func (i instance) String() string { return i.key() + "." + i.generation }

// wanted is what the databases say.
type wanted struct {
	// copies says which worker has which copy, by the name of the worker.
	copies map[instance]string
	// services of all desired instances, by id.
	services map[string]int
	// workers are their names by id.
	workers map[string]string
	// applications are the names of those that are there.
	applications map[string]bool
	// applicationOf names the application of each service that root knows, those that are being deleted included.
	applicationOf map[string]string
	// restored says that root may have forgotten services; unmanaged are the copies of such.
	restored  bool
	unmanaged map[instance]bool
	// wrong are what the databases themselves disagree about.
	wrong []string
}

func (w *wanted) complain(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// readWanted reads root's database and those of the clusters, and compares them.
func readWanted(ctx context.Context, t *testbed.Testbed, restored bool) (*wanted, error) {
	w := &wanted{copies: map[instance]string{}, services: map[string]int{}, workers: map[string]string{}, applications: map[string]bool{},
		applicationOf: map[string]string{}, restored: restored, unmanaged: map[instance]bool{}}
	given := map[string]string{} // cluster and placement of each desired instance
	err := w.readRoot(ctx, t, given)
	if err != nil {
		return nil, fmt.Errorf("read root's database: %w", err)
	}
	for _, c := range t.Hosts(testbed.RoleCluster) {
		if err := w.readCluster(ctx, t, c.Name, given); err != nil {
			return nil, fmt.Errorf("read the database of %s: %w", c.Name, err)
		}
	}
	for key, at := range given {
		w.complain("instance %s is given to %s, which has no copy of it", key, at)
	}
	return w, nil
}

func (w *wanted) readRoot(ctx context.Context, t *testbed.Testbed, given map[string]string) error {
	return query(ctx, t.DatabaseURL("root"), func(ctx context.Context, db *pgx.Conn) error {
		err := each(ctx, db, `SELECT i.service_id, i.number, i.placement, coalesce(c.name, ''), i.state, i.detail, i.deleted_at IS NOT NULL
			FROM instance i LEFT JOIN cluster c ON c.id = i.cluster_id`, func(row pgx.Rows) error {
			var service, cluster, state, detail string
			var number, placement int
			var deleted bool
			if err := row.Scan(&service, &number, &placement, &cluster, &state, &detail, &deleted); err != nil {
				return err
			}
			key := fmt.Sprintf("%s.%d", service, number)
			if deleted {
				w.complain("instance %s is still being stopped: %s", key, state)
				return nil
			}
			w.services[service]++
			given[key] = fmt.Sprintf("%s %d", cluster, placement)
			if state != "RUNNING" {
				w.complain("root holds instance %s for %s: %s", key, state, detail)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = each(ctx, db, `SELECT name FROM application WHERE deleted_at IS NULL`, func(row pgx.Rows) error {
			var name string
			err := row.Scan(&name)
			w.applications[name] = true
			return err
		})
		if err != nil {
			return err
		}
		err = each(ctx, db, `SELECT s.id, a.name FROM service s JOIN application a ON a.id = s.application_id`, func(row pgx.Rows) error {
			var id, name string
			err := row.Scan(&id, &name)
			w.applicationOf[id] = name
			return err
		})
		if err != nil {
			return err
		}
		return each(ctx, db, `SELECT host(address), count(DISTINCT (service_id, number)) FROM address WHERE released_at IS NULL
			GROUP BY address HAVING count(DISTINCT (service_id, number)) > 1`, func(row pgx.Rows) error {
			var address string
			var n int
			err := row.Scan(&address, &n)
			w.complain("address %s is given out %d times", address, n)
			return err
		})
	})
}

// readCluster reads what a cluster has placed. What root has given to it is taken out of given.
func (w *wanted) readCluster(ctx context.Context, t *testbed.Testbed, cluster string, given map[string]string) error {
	return query(ctx, t.DatabaseURL(cluster), func(ctx context.Context, db *pgx.Conn) error {
		err := each(ctx, db, `SELECT id, name FROM worker`, func(row pgx.Rows) error {
			var id, name string
			err := row.Scan(&id, &name)
			w.workers[id] = name
			return err
		})
		if err != nil {
			return err
		}
		return each(ctx, db, `SELECT service_id, instance_number, placement, move, worker_id, stop, state FROM placement`, func(row pgx.Rows) error {
			var service, worker, state string
			var number, placement, move int
			var stop bool
			if err := row.Scan(&service, &number, &placement, &move, &worker, &stop, &state); err != nil {
				return err
			}
			i := instance{service, number, fmt.Sprintf("%d-%d", placement, move)}
			at := fmt.Sprintf("%s %d", cluster, placement)
			_, known := w.applicationOf[service]
			switch {
			case w.restored && !known && !stop && state == "RUNNING":
				w.copies[i], w.unmanaged[i] = w.workers[worker], true
				w.services[service]++
			case stop:
				w.complain("%s still stops %s at %s", cluster, i, w.workers[worker])
			case given[i.key()] != at:
				w.complain("%s has placed %s, which root has not given to it (but to %q)", cluster, i, given[i.key()])
			case state != "RUNNING":
				w.complain("%s holds %s for %s", cluster, i, state)
			default:
				w.copies[i] = w.workers[worker]
				delete(given, i.key())
			}
			return nil
		})
	})
}

// query connects once.
func query(ctx context.Context, url string, f func(context.Context, *pgx.Conn) error) error {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	return f(ctx, db)
}

func each(ctx context.Context, db *pgx.Conn, sql string, f func(pgx.Rows) error) error {
	rows, err := db.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// parseContainer reads a container's id, "<service>.<number>.<placement>-<move>".
func parseContainer(id string) (i instance, ok bool) {
	parts := strings.Split(id, ".")
	if len(parts) != 3 {
		return i, false
	}
	if _, err := fmt.Sscanf(parts[1], "%d", &i.number); err != nil {
		return i, false
	}
	i.service, i.generation = parts[0], parts[2]
	return i, true
}

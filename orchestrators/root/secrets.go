// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

const (
	// maxSecretVersions is how many versions of a secret are kept.
	maxSecretVersions = 10
	// maxSecrets bounds the secrets of one organisation.
	maxSecrets = 1000
)

// Types of secrets.
const (
	secretOpaque   = "opaque"   // any bytes
	secretRegistry = "registry" // what opens an image registry
)

// errNoVault is told where root was started without a key.
func noVault() error {
	return httpapi.NewProblem(http.StatusServiceUnavailable, "no_secrets_key",
		"this root has no key for secrets: start it with --secrets-key-file")
}

// sealingKey returns the id of the key by which the database's secrets are sealed, which the vault has to have. While there are none, it is the
// vault's first. That stays so until the transaction ends.
func sealingKey(ctx context.Context, tx pgx.Tx, v *vault.Vault) (string, error) {
	var known string
	err := tx.QueryRow(ctx, `SELECT id FROM secret_key FOR SHARE`).Scan(&known)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look up key for secrets: %w", err)
	}
	if !v.Has(known) {
		v.Reload() // the key may have been changed, and be in the file since
	}
	if v.Has(known) {
		return known, nil
	}
	var some bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM secret_version)`).Scan(&some); err != nil {
		return "", fmt.Errorf("look up secrets: %w", err)
	}
	if some {
		return "", fmt.Errorf("%w: the key for secrets (--secrets-key-file) is %s, but the secrets in the database are sealed with %s: "+
			"restore that file from its backup, or copy it from another root of this installation", vault.ErrNoKey, v.ID(), known)
	}
	_, err = tx.Exec(ctx, `INSERT INTO secret_key (id) VALUES ($1) ON CONFLICT (single) DO UPDATE SET id = excluded.id`, v.ID())
	if err != nil {
		return "", fmt.Errorf("note key for secrets: %w", err)
	}
	return v.ID(), nil
}

// sealedAs is the context in which a version of a secret is sealed.
func sealedAs(secretID string, version int) string {
	return fmt.Sprintf("secret %s version %d", secretID, version)
}

// storeValue stores a value as the newest version of a secret.
func (r *Root) storeValue(ctx context.Context, tx pgx.Tx, id string, version int, value []byte, by string) error {
	key, err := sealingKey(ctx, tx, r.vault) // another root may have been first, with another key
	if errors.Is(err, vault.ErrNoKey) {
		return httpapi.NewProblem(http.StatusServiceUnavailable, "wrong_secrets_key", "%v", err).Because(err)
	}
	if err != nil {
		return err
	}
	sealed, err := r.vault.Seal(key, value, sealedAs(id, version))
	if err != nil {
		return fmt.Errorf("seal secret %s: %w", id, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO secret_version (secret_id, version, sealed, created_by) VALUES ($1, $2, $3, $4)`, id, version, sealed, by)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM secret_version WHERE secret_id = $1 AND version <= $2`, id, version-maxSecretVersions)
	}
	if err != nil {
		return fmt.Errorf("store secret %s: %w", id, err)
	}
	return nil
}

// secretNames are the names of the secrets that a microservice refers to, with the path of each below it.
func secretNames(m *sla.Microservice) (names, paths []string) {
	for i, s := range m.Secrets {
		names, paths = append(names, s.Name), append(paths, fmt.Sprintf("secrets[%d].name", i))
	}
	if m.RegistryCredentials != "" {
		names, paths = append(names, m.RegistryCredentials), append(paths, "registry_credentials")
	}
	return names, paths
}

// checkSecrets refuses a microservice that refers to a secret which is not there, not its application's to use, or of another type.
func checkSecrets(ctx context.Context, tx pgx.Tx, applicationID string, m *sla.Microservice, at string) error {
	names, paths := secretNames(m)
	if len(names) == 0 {
		return nil
	}
	types := map[string]string{}
	rows, err := tx.Query(ctx, `SELECT s.name, s.type FROM secret s JOIN application a ON a.organization_id = s.organization_id
		WHERE a.id = $1 AND (s.shared OR s.owner_id = a.owner_id) AND s.name = ANY($2) FOR SHARE OF s`, applicationID, names)
	if err != nil {
		return fmt.Errorf("look up secrets: %w", err)
	}
	var name, kind string
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind}, func() error { types[name] = kind; return nil }); err != nil {
		return fmt.Errorf("look up secrets: %w", err)
	}
	for i, name := range names {
		refuse := func(format string, args ...any) error {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "unknown_secret", format, args...).At(at + "." + paths[i])
		}
		kind, known := types[name]
		switch {
		case !known:
			return refuse("there is no secret %q that this application may use: create it first (POST /api/v1/secrets), or have its owner share it", name)
		case paths[i] == "registry_credentials" && kind != secretRegistry:
			return refuse("secret %q is of type %s, has to be of type %s", name, kind, secretRegistry)
		}
	}
	return nil
}

// resolveSecrets fills in which versions of its secrets a specification means: the newest ones.
func resolveSecrets(ctx context.Context, q querier, organization string, m *sla.Microservice, spec *wire.InstanceSpec) error {
	names, _ := secretNames(m)
	if len(names) == 0 {
		return nil
	}
	versions := map[string]int{}
	rows, err := q.Query(ctx, `SELECT name, version FROM secret WHERE organization_id = $1 AND name = ANY($2)`, organization, names)
	if err != nil {
		return fmt.Errorf("look up secrets: %w", err)
	}
	var name string
	var version int
	if _, err := pgx.ForEachRow(rows, []any{&name, &version}, func() error { versions[name] = version; return nil }); err != nil {
		return fmt.Errorf("look up secrets: %w", err)
	}
	spec.Secrets = nil
	for _, s := range m.Secrets {
		s.Version = versions[s.Name]
		spec.Secrets = append(spec.Secrets, s)
	}
	if n := m.RegistryCredentials; n != "" {
		spec.RegistryCredentials = &wire.SecretRef{Name: n, Version: versions[n]}
	}
	return nil
}

// usesSecret is the condition under which service s of application a refers to the secret of name $1 in organisation $2.
const usesSecret = `a.organization_id = $2 AND s.deleted_at IS NULL AND
	(s.descriptor->'secrets' @> jsonb_build_array(jsonb_build_object('name', $1::text)) OR s.descriptor->>'registry_credentials' = $1)`

// usersOf returns the ids and job names of the services that refer to a secret.
func usersOf(ctx context.Context, q querier, name, organization string) (ids, jobs []string, err error) {
	rows, err := q.Query(ctx, `SELECT s.id, s.job_name FROM service s JOIN application a ON a.id = s.application_id WHERE `+usesSecret+` ORDER BY s.job_name, s.id`,
		name, organization)
	if err != nil {
		return nil, nil, fmt.Errorf("look up who uses secret %s: %w", name, err)
	}
	var id, job string
	_, err = pgx.ForEachRow(rows, []any{&id, &job}, func() error { ids, jobs = append(ids, id), append(jobs, job); return nil })
	if err != nil {
		return nil, nil, fmt.Errorf("look up who uses secret %s: %w", name, err)
	}
	return ids, jobs, nil
}

// secretValue returns the value of a version of a secret, if an instance that the cluster has refers to it.
func (r *Root) secretValue(ctx context.Context, clusterID string, in *wire.SecretRequest) ([]byte, error) {
	if r.vault == nil {
		return nil, noVault()
	}
	refusal := httpapi.NewProblem(http.StatusForbidden, "secret_refused", "no instance that this cluster has refers to version %d of secret %q", in.Version, in.Name)
	var id string
	var sealed []byte
	err := store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT s.id, v.sealed FROM secret s JOIN secret_version v ON v.secret_id = s.id AND v.version = $3
			WHERE s.organization_id = $1 AND s.name = $2 AND EXISTS (SELECT FROM instance i WHERE i.cluster_id = $4 AND i.deleted_at IS NULL
				AND i.spec->>'organization' = $1 AND (i.spec->'secrets' @> $5::jsonb OR i.spec->'registry_credentials' @> $6::jsonb))`,
			in.Organization, in.Name, in.Version, clusterID, refs(in.Name, in.Version, true), refs(in.Name, in.Version, false)).Scan(&id, &sealed)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, refusal
	}
	if err != nil {
		return nil, fmt.Errorf("look up secret: %w", err)
	}
	value, err := r.vault.Open(sealed, sealedAs(id, in.Version))
	if errors.Is(err, vault.ErrSealed) {
		// Sealed anew meanwhile, perhaps, with a key that is in the file since.
		r.vault.Reload()
		value, err = r.vault.Open(sealed, sealedAs(id, in.Version))
	}
	if err != nil {
		return nil, fmt.Errorf("open version %d of secret %s: %w", in.Version, id, err)
	}
	return value, nil
}

// refs is the JSON by which a specification refers to a version of a secret.
func refs(name string, version int, list bool) string {
	var v any = map[string]any{"name": name, "version": version}
	if list {
		v = []any{v}
	}
	text, _ := json.Marshal(v) // of a string and a number
	return string(text)
}

// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// secretBody is a secret as users send it. Exactly one of Value, Base64 and Registry is set.
type secretBody struct {
	// Name is unique in the organisation; only for a new one.
	Name string `json:"name,omitempty"`
	// Type is opaque or registry, and follows from the value if it is left out.
	Type string `json:"type,omitempty"`
	// Shared lets all applications of the organisation use it, not the owner's alone.
	Shared *bool `json:"shared,omitempty"`
	// Value is text, Base64 any bytes.
	Value    *string             `json:"value,omitempty"`
	Base64   *string             `json:"value_base64,omitempty"`
	Registry *wire.RegistryLogin `json:"registry,omitempty"`
	// Restart says whether the services that use the secret change over to the new version now; true if left out. Otherwise each
	// instance gets it when it is placed anew.
	Restart *bool `json:"restart,omitempty"`
}

// secretJSON is all that is ever told of a secret: not its value.
type secretJSON struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Shared    bool      `json:"shared"`
	Owner     string    `json:"owner"`
	Version   int       `json:"version"`
	Versions  []int     `json:"versions"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// UsedBy are the job names of the services that refer to it.
	UsedBy []string `json:"used_by"`

	organization string
}

// registryServer is HOST or HOST:PORT.
var registryServer = regexp.MustCompile(`^[a-zA-Z0-9.\-\[\]:]{1,255}$`)

// readSecret reads the body of a request that holds a value. What is wrong with it is told without a part of it.
func readSecret(c echo.Context) (*secretBody, error) {
	var body secretBody
	err := httpapi.Decode(c, &body)
	var p *httpapi.Problem
	if errors.As(err, &p) && (p.Code == "wrong_type" || p.Code == "wrong_value" || p.Code == "broken_json") {
		return nil, httpapi.NewProblem(p.Status, p.Code, "is not what a secret looks like: {name, value | value_base64 | registry{server, username, password}}").At(p.Path)
	}
	return &body, err
}

// bytes returns the type and the value that a body holds.
func (b *secretBody) bytes() (kind string, value []byte, err error) {
	refuse := func(path, format string, args ...any) (string, []byte, error) {
		return "", nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_secret", format, args...).At(path)
	}
	given := 0
	for _, is := range []bool{b.Value != nil, b.Base64 != nil, b.Registry != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return refuse("$", "needs exactly one of value, value_base64 and registry")
	}
	kind = secretOpaque
	switch {
	case b.Value != nil:
		value = []byte(*b.Value)
	case b.Base64 != nil:
		if value, err = base64.StdEncoding.DecodeString(*b.Base64); err != nil {
			return refuse("$.value_base64", "is not base64")
		}
	default:
		kind = secretRegistry
		if !registryServer.MatchString(b.Registry.Server) {
			return refuse("$.registry.server", "has to be HOST or HOST:PORT of the registry, such as registry.example:5000")
		}
		if b.Registry.Username == "" || strings.Contains(b.Registry.Username, ":") {
			return refuse("$.registry.username", "must not be empty, nor contain a colon")
		}
		if value, err = json.Marshal(b.Registry); err != nil {
			return refuse("$.registry", "cannot be stored")
		}
	}
	switch {
	case b.Type != "" && b.Type != kind:
		return refuse("$.type", "does not go with the value: registry credentials are given as registry{server, username, password}, all else is %s", secretOpaque)
	case len(value) == 0:
		return refuse("$.value", "is empty")
	case len(value) > wire.MaxSecretBytes:
		return refuse("$.value", "has %d bytes, at most %d are kept", len(value), wire.MaxSecretBytes)
	}
	return kind, value, nil
}

// createSecret stores a new secret of the user's organisation.
func (r *Root) createSecret(c echo.Context) error {
	if r.vault == nil {
		return noVault()
	}
	body, err := readSecret(c)
	if err != nil {
		return err
	}
	if !sla.SecretNameRE.MatchString(body.Name) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_name", "does not match %s", sla.SecretNameRE).At("$.name")
	}
	kind, value, err := body.bytes()
	if err != nil {
		return err
	}
	ctx, p := c.Request().Context(), principal(c)
	id := pki.NewID()
	err = store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		var count int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM secret WHERE organization_id = $1`, p.OrganizationID).Scan(&count); err != nil {
			return fmt.Errorf("count secrets: %w", err)
		}
		if count >= maxSecrets {
			return conflict("too_many_secrets", "an organization has at most %d secrets: delete what is not needed", maxSecrets)
		}
		_, err := tx.Exec(ctx, `INSERT INTO secret (id, organization_id, owner_id, owner_name, name, type, shared, version) VALUES ($1, $2, $3, $4, $5, $6, $7, 1)`,
			id, p.OrganizationID, p.ID, p.Name, body.Name, kind, body.Shared != nil && *body.Shared)
		if err != nil {
			return err
		}
		return r.storeValue(ctx, tx, id, 1, value, p.Name)
	})
	if store.IsUniqueViolation(err, "") {
		return conflict("secret_exists", "the organization has a secret %s already: change it by PUT /api/v1/secrets/%s", body.Name, body.Name)
	}
	if err != nil {
		return err
	}
	return r.showSecret(c, id)
}

// updateSecret stores a new version of a secret, and has the services that use it change over to that.
func (r *Root) updateSecret(c echo.Context) error {
	if r.vault == nil {
		return noVault()
	}
	body, err := readSecret(c)
	if err != nil {
		return err
	}
	onlyShare := body.Shared != nil && body.Value == nil && body.Base64 == nil && body.Registry == nil
	kind, value := "", []byte(nil)
	if !onlyShare {
		if kind, value, err = body.bytes(); err != nil {
			return err
		}
	}
	ctx, id, by := c.Request().Context(), named(c, keySecret), principal(c).Name
	err = r.placing(ctx, func(tx pgx.Tx) error {
		var s secretJSON
		err := tx.QueryRow(ctx, `UPDATE secret SET shared = coalesce($2, shared), version = version + $3, updated_at = now() WHERE id = $1
			RETURNING name, type, organization_id, version`, id, body.Shared, map[bool]int{false: 1}[onlyShare]).
			Scan(&s.Name, &s.Type, &s.organization, &s.Version)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return notFound("secret", c.Param("secret"))
		case err != nil:
			return fmt.Errorf("change secret %s: %w", id, err)
		case body.Name != "" && body.Name != s.Name:
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "identity_fixed", "a secret keeps its name: create another one").At("$.name")
		case onlyShare:
			return nil
		case s.Type != kind:
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "identity_fixed", "a secret of type %s stays one", s.Type).At("$.type")
		}
		if err := r.storeValue(ctx, tx, id, s.Version, value, by); err != nil {
			return err
		}
		if s.Type == secretRegistry || body.Restart != nil && !*body.Restart {
			return nil // the former are used when an image is pulled, and not before
		}
		return r.restartUsers(ctx, tx, &s, by)
	})
	if err != nil {
		return err
	}
	r.wakeRollouts()
	return r.showSecret(c, id)
}

// restartUsers begins a rollout of each service that uses the secret, whose newest version its instances are made of since.
func (r *Root) restartUsers(ctx context.Context, tx pgx.Tx, s *secretJSON, by string) error {
	ids, _, err := usersOf(ctx, tx, s.Name, s.organization)
	if err != nil {
		return err
	}
	for _, id := range ids {
		now, err := loadPresent(ctx, tx, id)
		if err != nil {
			return err
		}
		cause := fmt.Sprintf("secret %s has version %d", s.Name, s.Version)
		revision, err := storeRevision(ctx, tx, id, &now.service, by, cause)
		if err != nil {
			return err
		}
		if err := r.beginRollout(ctx, tx, id, revision, now.revision, false, cause); err != nil {
			return err
		}
	}
	return nil
}

type deleteSecretQuery struct {
	Force bool `query:"force" description:"although services use it: their instances run on, but cannot be placed anew"`
}

// deleteSecret forgets a secret and all its versions.
func (r *Root) deleteSecret(c echo.Context) error {
	ctx, id := c.Request().Context(), named(c, keySecret)
	err := store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		var name, organization string
		err := tx.QueryRow(ctx, `SELECT name, organization_id FROM secret WHERE id = $1 FOR UPDATE`, id).Scan(&name, &organization)
		if errors.Is(err, pgx.ErrNoRows) {
			return notFound("secret", c.Param("secret"))
		}
		if err != nil {
			return fmt.Errorf("look up secret %s: %w", id, err)
		}
		_, jobs, err := usersOf(ctx, tx, name, organization)
		if err != nil {
			return err
		}
		if len(jobs) > 0 && c.QueryParam("force") != "true" {
			return conflict("secret_in_use", "services use it: %s; change them first, or add ?force=true", strings.Join(jobs[:min(len(jobs), 5)], ", "))
		}
		_, err = tx.Exec(ctx, `DELETE FROM secret WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, message("secret deleted"))
}

const selectSecrets = `SELECT s.id, s.name, s.type, s.shared, s.owner_name, s.version,
	ARRAY(SELECT v.version FROM secret_version v WHERE v.secret_id = s.id ORDER BY v.version), s.created_at, s.updated_at,
	ARRAY(SELECT u.job_name FROM service u JOIN application a ON a.id = u.application_id WHERE a.organization_id = s.organization_id
		AND u.deleted_at IS NULL AND (u.descriptor->'secrets' @> jsonb_build_array(jsonb_build_object('name', s.name)) OR u.descriptor->>'registry_credentials' = s.name)
		ORDER BY u.job_name)
	FROM secret s WHERE `

func (r *Root) querySecrets(ctx context.Context, where string, args ...any) ([]secretJSON, error) {
	rows, err := r.pool.Query(ctx, selectSecrets+where+` ORDER BY s.name, s.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s secretJSON, err error) {
		err = row.Scan(&s.ID, &s.Name, &s.Type, &s.Shared, &s.Owner, &s.Version, &s.Versions, &s.CreatedAt, &s.UpdatedAt, &s.UsedBy)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return slices.Clip(list), nil
}

// listSecrets lists the secrets of the user's organisation that are his or shared.
func (r *Root) listSecrets(c echo.Context) error {
	list, err := r.querySecrets(c.Request().Context(), `s.organization_id = $3 AND ($2 OR $4 OR s.shared OR s.owner_id = $1)`, scope(principal(c))...)
	if err != nil {
		return err
	}
	if list, err = httpapi.Select(c, list, func(s secretJSON) string { return s.Name }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list)
}

func (r *Root) getSecret(c echo.Context) error { return r.showSecret(c, named(c, keySecret)) }

func (r *Root) showSecret(c echo.Context, id string) error {
	list, err := r.querySecrets(c.Request().Context(), `s.id = $1`, id)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return notFound("secret", c.Param("secret"))
	}
	return c.JSON(http.StatusOK, list[0])
}

// clusterSecret tells a cluster the value of a secret that an instance of its refers to.
func (r *Root) clusterSecret(c echo.Context) error {
	var in wire.SecretRequest
	if err := httpapi.DecodeLoose(c, &in); err != nil {
		return err
	}
	value, err := r.secretValue(c.Request().Context(), c.Param("id"), &in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(http.StatusOK, wire.SecretResponse{Format: wire.Format, Value: value})
}

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Users ---------------------------------------------------------------------------------------------------------------

CREATE TABLE organization (
    id   text PRIMARY KEY,
    name text NOT NULL
);
CREATE UNIQUE INDEX organization_name ON organization (lower(name));

CREATE TABLE account (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organization,
    name            text NOT NULL,
    email           text NOT NULL DEFAULT '',
    password        text NOT NULL, -- Argon2id in PHC form
    roles           text[] NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX account_name ON account (organization_id, lower(name));

-- A login. Tokens carry its id; without the row they are worth nothing.
CREATE TABLE session (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES account ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_account ON session (account_id);

CREATE TABLE signing_key (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    secret bytea NOT NULL
);

-- Applications --------------------------------------------------------------------------------------------------------

CREATE TABLE application (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organization,
    owner_id        text NOT NULL, -- of an account, which may be gone
    owner_name      text NOT NULL,
    name            text NOT NULL,
    namespace       text NOT NULL,
    description     text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at      timestamptz -- hidden since; the row goes with its last service
);
CREATE UNIQUE INDEX application_name ON application (organization_id, lower(name), lower(namespace)) WHERE deleted_at IS NULL;
CREATE INDEX application_owner ON application (owner_id);

CREATE TABLE service (
    id             text PRIMARY KEY,
    application_id text NOT NULL REFERENCES application,
    name           text NOT NULL,
    namespace      text NOT NULL,
    job_name       text NOT NULL,
    descriptor     jsonb NOT NULL, -- the microservice as it was posted
    next_number    integer NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at     timestamptz -- hidden since; the row goes with its last instance
);
CREATE UNIQUE INDEX service_name ON service (application_id, lower(name), lower(namespace)) WHERE deleted_at IS NULL;
CREATE INDEX service_application ON service (application_id);
CREATE INDEX service_job_name ON service (job_name);

-- Clusters ------------------------------------------------------------------------------------------------------------

CREATE TABLE cluster (
    id             text PRIMARY KEY,
    name           text NOT NULL,
    location       text NOT NULL DEFAULT '',
    key_hash       text NOT NULL, -- SHA-256 of the public key that it joined with
    joined_at      timestamptz NOT NULL DEFAULT now(),
    -- Revision of its desired state: raised under this row's lock in the transaction of the change.
    revision       bigint NOT NULL DEFAULT 1,
    applied_epoch  bigint NOT NULL DEFAULT 0,
    applied        bigint NOT NULL DEFAULT 0,
    -- The last report.
    report_epoch   bigint NOT NULL DEFAULT 0,
    report         bigint NOT NULL DEFAULT 0,
    reported_at    timestamptz,
    full_in_epoch  bigint NOT NULL DEFAULT 0, -- root's epoch when the last full report came
    aggregate      jsonb NOT NULL DEFAULT '{}',
    free_subnets   integer NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX cluster_name ON cluster (lower(name));

CREATE TABLE instance (
    service_id   text NOT NULL REFERENCES service,
    number       integer NOT NULL,
    spec         jsonb NOT NULL, -- wire.InstanceSpec
    -- Where it is: placement is raised each time that it is given to a cluster.
    cluster_id   text REFERENCES cluster,
    placement    bigint NOT NULL DEFAULT 0,
    revision     bigint NOT NULL DEFAULT 0, -- of the cluster's desired state, when it was given
    placed_at    timestamptz,
    attempts     integer NOT NULL DEFAULT 0, -- of placing, since it last got further than a cluster
    next_attempt timestamptz NOT NULL DEFAULT now(),
    -- How it is.
    state        text NOT NULL,
    detail       text NOT NULL DEFAULT '',
    since        timestamptz NOT NULL DEFAULT now(),
    move         bigint NOT NULL DEFAULT 0,
    cpu_percent  double precision NOT NULL DEFAULT 0,
    memory_bytes bigint NOT NULL DEFAULT 0,
    restarts     integer NOT NULL DEFAULT 0,
    reported_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz, -- to stop since; the row goes with its last tombstone
    PRIMARY KEY (service_id, number)
);
CREATE INDEX instance_cluster ON instance (cluster_id, revision);
CREATE INDEX instance_unplaced ON instance (next_attempt) WHERE deleted_at IS NULL AND cluster_id IS NULL;

-- What a cluster has to stop; kept until it reports the instance UNDEPLOYED.
CREATE TABLE tombstone (
    cluster_id text NOT NULL REFERENCES cluster,
    service_id text NOT NULL,
    number     integer NOT NULL,
    placement  bigint NOT NULL,
    revision   bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, service_id, number)
);
CREATE INDEX tombstone_instance ON tombstone (service_id, number);

-- Addresses -----------------------------------------------------------------------------------------------------------

-- The ranges of this installation; fixed at first use, but for enlargement.
CREATE TABLE address_range (
    key    text PRIMARY KEY,
    prefix cidr NOT NULL
);

-- Index of the first address or block of a pool that was never given out.
CREATE TABLE pool (
    name text PRIMARY KEY,
    next bigint NOT NULL DEFAULT 0
);

CREATE TABLE address (
    address         inet PRIMARY KEY,
    pool            text NOT NULL,
    organization_id text NOT NULL,
    service_id      text NOT NULL,
    number          integer, -- of the instance; null for an address of the service
    policy          text NOT NULL,
    released_at     timestamptz -- in quarantine, or free again, since
);
CREATE INDEX address_service ON address (service_id, number);
CREATE INDEX address_released ON address (pool, released_at) WHERE released_at IS NOT NULL;

CREATE TABLE subnet_block (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    index       bigint NOT NULL UNIQUE,
    cluster_id  text REFERENCES cluster,
    revision    bigint NOT NULL, -- of the cluster's desired state that first named it
    leased_at   timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);
CREATE INDEX subnet_block_cluster ON subnet_block (cluster_id);

-- +goose Down
DROP TABLE subnet_block, address, pool, address_range, tombstone, instance, cluster, service, application, signing_key, session,
    account, organization;

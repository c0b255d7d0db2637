-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- One row: who this cluster is at its root, and what root has last said. The key exists before the cluster has joined, so that a
-- join whose answer was lost can be repeated.
CREATE TABLE root_link (
    single           boolean PRIMARY KEY DEFAULT true CHECK (single),
    key_pem          text NOT NULL,
    cluster_id       text,
    cert_pem         text,
    ca_pem           text,
    applied_epoch    bigint NOT NULL DEFAULT 0,
    applied_revision bigint NOT NULL DEFAULT 0,
    ranges           jsonb
);

CREATE TABLE worker (
    id        text PRIMARY KEY,
    name      text NOT NULL,
    key_hash  bytea NOT NULL UNIQUE,
    joined_at timestamptz NOT NULL DEFAULT now()
);

-- Worker subnets that root has leased; worker_id is null while one is free. A block that root has taken back stays while a worker
-- uses it.
CREATE TABLE subnet (
    v4        cidr PRIMARY KEY,
    v6        cidr NOT NULL,
    block_id  bigint NOT NULL,
    worker_id text REFERENCES worker (id)
);
CREATE INDEX subnet_worker ON subnet (worker_id);

-- What root wants here.
CREATE TABLE instance (
    service_id      text    NOT NULL,
    instance_number integer NOT NULL,
    placement       bigint  NOT NULL,
    last_move       bigint  NOT NULL,
    wanted          boolean NOT NULL,
    spec            jsonb   NOT NULL,
    PRIMARY KEY (service_id, instance_number)
);

-- Which worker has which generation of an instance: the reservation. stop is the tombstone. It names its worker and instance
-- without a foreign key: it outlives both until the worker has said that nothing is left.
CREATE TABLE placement (
    service_id      text    NOT NULL,
    instance_number integer NOT NULL,
    placement       bigint  NOT NULL,
    move            bigint  NOT NULL,
    worker_id       text    NOT NULL,
    stop            boolean NOT NULL,
    spec            jsonb   NOT NULL,
    state           text    NOT NULL,
    detail          text    NOT NULL,
    since           timestamptz NOT NULL,
    PRIMARY KEY (service_id, instance_number, placement, move)
);

-- Root's tombstones, until root knows that nothing is left.
CREATE TABLE removal (
    service_id      text    NOT NULL,
    instance_number integer NOT NULL,
    placement       bigint  NOT NULL,
    done            boolean NOT NULL,
    PRIMARY KEY (service_id, instance_number)
);

-- What each NetManager has last told, so that a restart answers before they have told it again.
CREATE TABLE overlay (
    worker_id text PRIMARY KEY,
    endpoints jsonb,
    interest  jsonb
);

-- +goose Down
DROP TABLE overlay;
DROP TABLE removal;
DROP TABLE placement;
DROP TABLE instance;
DROP TABLE subnet;
DROP TABLE worker;
DROP TABLE root_link;

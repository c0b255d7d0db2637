-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- How many instances root keeps of a service; null leaves that to whoever asks for instances. What keeps it from having them is told, and
-- tried again later.
ALTER TABLE service
    ADD COLUMN revision         integer NOT NULL DEFAULT 1,
    ADD COLUMN replicas         integer CHECK (replicas BETWEEN 0 AND 1000),
    ADD COLUMN replicas_problem text NOT NULL DEFAULT '',
    ADD COLUMN replicas_retry   timestamptz NOT NULL DEFAULT now();

-- The descriptors that a service has had, the present one included.
CREATE TABLE service_revision (
    service_id text NOT NULL REFERENCES service ON DELETE CASCADE,
    revision   integer NOT NULL,
    descriptor jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL, -- a user's name; empty for root itself
    cause      text NOT NULL,
    PRIMARY KEY (service_id, revision)
);
INSERT INTO service_revision (service_id, revision, descriptor, created_at, created_by, cause)
    SELECT s.id, 1, s.descriptor, s.created_at, a.owner_name, 'created' FROM service s JOIN application a ON a.id = s.application_id;

-- service_revision is the descriptor's that the instance's spec is made of. One that is held has no place and gets none until the others
-- of its service have stopped.
ALTER TABLE instance
    ADD COLUMN service_revision integer NOT NULL DEFAULT 1,
    ADD COLUMN held             boolean NOT NULL DEFAULT false;

-- The last change of a service's descriptor on its way to the instances; none for a service that was never changed.
CREATE TABLE rollout (
    service_id    text PRIMARY KEY REFERENCES service ON DELETE CASCADE,
    revision      integer NOT NULL,
    previous      integer NOT NULL, -- what a failure goes back to
    state         text NOT NULL,
    detail        text NOT NULL DEFAULT '',
    rolling_back  boolean NOT NULL DEFAULT false,
    available     integer NOT NULL DEFAULT 0, -- updated instances that were available at the last look
    started_at    timestamptz NOT NULL DEFAULT now(),
    progressed_at timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz
);
CREATE INDEX rollout_progressing ON rollout (service_id) WHERE state = 'progressing';

-- What was decided about services, oldest first; the last 200 of each.
CREATE TABLE service_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service_id text NOT NULL REFERENCES service ON DELETE CASCADE,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text NOT NULL,
    revision   integer NOT NULL,
    detail     text NOT NULL
);
CREATE INDEX service_event_service ON service_event (service_id, id);

-- +goose Down
DROP TABLE service_event, rollout, service_revision;
ALTER TABLE instance DROP COLUMN service_revision, DROP COLUMN held;
ALTER TABLE service DROP COLUMN revision, DROP COLUMN replicas, DROP COLUMN replicas_problem, DROP COLUMN replicas_retry;

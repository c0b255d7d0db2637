-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- A cluster is asked for its workers by a number in its desired state, and answers with a report. What it told last is kept for all root
-- processes; it is of no use but to be shown.
ALTER TABLE cluster
    ADD COLUMN workers_asked    bigint NOT NULL DEFAULT 0,
    ADD COLUMN workers_answered bigint NOT NULL DEFAULT 0,
    ADD COLUMN workers_told_at  timestamptz,
    ADD COLUMN workers_withheld boolean NOT NULL DEFAULT false,
    ADD COLUMN workers          jsonb NOT NULL DEFAULT '[]';

-- What administrators want of single workers, with the stamp of the desired state that first said so. The cluster owns the mode.
CREATE TABLE worker_order (
    cluster_id text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    worker_id  text NOT NULL,
    mode       text NOT NULL,
    reason     text NOT NULL,
    epoch      bigint NOT NULL,
    revision   bigint NOT NULL,
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, worker_id)
);

-- +goose Down
DROP TABLE worker_order;
ALTER TABLE cluster DROP COLUMN workers_asked, DROP COLUMN workers_answered, DROP COLUMN workers_told_at, DROP COLUMN workers_withheld,
    DROP COLUMN workers;

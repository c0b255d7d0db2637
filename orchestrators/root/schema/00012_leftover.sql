-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Copies of instances that a lost cluster may still run although they were given to others. Each gets a tombstone once its replacement runs.
CREATE TABLE leftover (
    cluster_id text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    service_id text NOT NULL,
    number     integer NOT NULL,
    placement  bigint NOT NULL,
    PRIMARY KEY (cluster_id, service_id, number)
);
CREATE INDEX leftover_instance ON leftover (service_id, number);

-- Whose a block of worker subnets was before it was released: the hash of the key that the cluster joined with.
ALTER TABLE subnet_block ADD COLUMN former text;

-- +goose Down
ALTER TABLE subnet_block DROP COLUMN former;
DROP TABLE leftover;

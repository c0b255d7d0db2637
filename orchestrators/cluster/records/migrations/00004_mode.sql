-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- What a worker is to be used for: open, cordoned or drained, why, and the stamp of the last order of root's that was taken.
ALTER TABLE worker
    ADD COLUMN mode           text NOT NULL DEFAULT 'open',
    ADD COLUMN mode_reason    text NOT NULL DEFAULT '',
    ADD COLUMN order_epoch    bigint NOT NULL DEFAULT 0,
    ADD COLUMN order_revision bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE worker DROP COLUMN mode, DROP COLUMN mode_reason, DROP COLUMN order_epoch, DROP COLUMN order_revision;

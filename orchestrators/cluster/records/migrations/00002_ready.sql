-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- The verdict of the copy's readiness probe, so that a restart gives no flow to one that is not ready.
ALTER TABLE placement ADD COLUMN ready boolean;

-- +goose Down
ALTER TABLE placement DROP COLUMN ready;

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- The verdict of the instance's readiness probe; null for one that has none, and while nobody has asked.
ALTER TABLE instance ADD COLUMN ready boolean;

-- +goose Down
ALTER TABLE instance DROP COLUMN ready;

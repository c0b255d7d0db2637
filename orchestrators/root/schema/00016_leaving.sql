-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- The instance runs on a worker that is drained, and its cluster has no other one for it: another cluster is looked for.
ALTER TABLE instance ADD COLUMN leaving boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE instance DROP COLUMN leaving;

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Constraints that hold for all services of the application.
ALTER TABLE application ADD COLUMN constraints jsonb NOT NULL DEFAULT '[]';

-- What the instance has to be near to, with where that was when it was given to its cluster: wire.Proximity.
ALTER TABLE instance ADD COLUMN near jsonb;

-- +goose Down
ALTER TABLE application DROP COLUMN constraints;
ALTER TABLE instance DROP COLUMN near;

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- The workers that could not take the instance, by id, with why and until when they are not asked again; null for none.
ALTER TABLE instance ADD COLUMN refusals jsonb;

-- +goose Down
ALTER TABLE instance DROP COLUMN refusals;

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Why an instance is where it is, or has no place: wire.Explanation, as root and as its cluster saw it last.
ALTER TABLE instance ADD COLUMN root_explanation jsonb;
ALTER TABLE instance ADD COLUMN cluster_explanation jsonb;

-- Clusters that could not place the instance, by id: when they said so, and how often capacity had appeared there by then.
ALTER TABLE instance ADD COLUMN refusals jsonb NOT NULL DEFAULT '{}';

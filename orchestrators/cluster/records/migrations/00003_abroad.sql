-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- One row: what root has last said of other clusters (wire.ClusterAbroad, whole), so that it goes on when root is away.
CREATE TABLE abroad (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    state  jsonb NOT NULL
);

-- +goose Down
DROP TABLE abroad;

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- How long the way from one cluster's workers to another's and back takes, as the dataplane has measured it: the median over their workers.
CREATE TABLE cluster_round_trip (
    cluster_id text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    other_id   text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    ms         double precision NOT NULL,
    told_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, other_id)
);

-- +goose Down
DROP TABLE cluster_round_trip;

-- SPDX-License-Identifier: Apache-2.0

-- +goose Up

-- Instances that have ended everywhere. A cluster that was restored from a dump may have them again; they are not to come back by that.
CREATE TABLE buried (
    service_id text NOT NULL,
    number     integer NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_id, number)
);
CREATE INDEX buried_at ON buried (at);

-- +goose Down
DROP TABLE buried;

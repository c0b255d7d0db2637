-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- What users entrust to root. Values are sealed with a key that is not in this database; it is named here, so that a root with another one
-- finds out at its start.
CREATE TABLE secret (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organization ON DELETE CASCADE,
    owner_id        text NOT NULL, -- of an account, which may be gone
    owner_name      text NOT NULL,
    name            text NOT NULL,
    type            text NOT NULL,
    shared          boolean NOT NULL DEFAULT false, -- for all applications of the organisation, not the owner's alone
    version         integer NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, name)
);

-- The last versions of each.
CREATE TABLE secret_version (
    secret_id  text NOT NULL REFERENCES secret ON DELETE CASCADE,
    version    integer NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (secret_id, version)
);

CREATE TABLE secret_key (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id     text NOT NULL
);

-- +goose Down
DROP TABLE secret_key, secret_version, secret;

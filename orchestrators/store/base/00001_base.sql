-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- One row. Orders the states that this database publishes before and after a restart, a take-over or a restore.
CREATE TABLE epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    value  bigint  NOT NULL
);
INSERT INTO epoch (value) VALUES (0);

-- One row: the authority that signs this installation's (or cluster's) certificates. id is the audience of its tokens.
CREATE TABLE authority (
    single     boolean PRIMARY KEY DEFAULT true CHECK (single),
    id         text    NOT NULL,
    cert_pem   text    NOT NULL,
    key_pem    text    NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Join tokens; only the hash of the secret is kept.
CREATE TABLE join_token (
    id          text PRIMARY KEY,
    role        text NOT NULL,
    secret_hash bytea NOT NULL,
    uses_left   integer NOT NULL CHECK (uses_left >= 0),
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE join_token;
DROP TABLE authority;
DROP TABLE epoch;

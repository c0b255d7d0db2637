-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- What was answered to a request that creates something and came with a key of the client's: the same request gets the same answer for a
-- day. Written in the transaction that creates the thing.
CREATE TABLE idempotency_key (
    account_id text NOT NULL REFERENCES account ON DELETE CASCADE,
    key        text NOT NULL,
    request    bytea NOT NULL, -- SHA-256 of the request
    answer     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);

-- Files that users have put here by the dashboard's form; kept for a week.
CREATE TABLE upload (
    id         text PRIMARY KEY,
    account_id text NOT NULL REFERENCES account ON DELETE CASCADE,
    name       text NOT NULL,
    content    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX upload_account ON upload (account_id, created_at);
CREATE INDEX upload_age ON upload (created_at);

-- A link by which a user who has lost his password sets a new one; only the hash of its secret is kept. An account has one at most.
CREATE TABLE password_reset (
    account_id  text PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    secret_hash bytea NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE password_reset, upload, idempotency_key;

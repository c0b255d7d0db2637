-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Users who wait for a cluster to dial up, for some seconds. Not logged: after a crash nobody waits any more.
CREATE UNLOGGED TABLE stream_request (
    id         text PRIMARY KEY,
    cluster_id text NOT NULL,
    service_id text NOT NULL,
    number     integer NOT NULL,
    secret     text NOT NULL, -- good for one connection, with the cluster's certificate
    url        text NOT NULL, -- of the process that holds the user; empty for where the cluster finds its root
    expires_at timestamptz NOT NULL
);
CREATE INDEX stream_request_cluster ON stream_request (cluster_id);

-- One hint for each transaction that notes events.
-- +goose StatementBegin
CREATE FUNCTION hint_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('oakestra_event', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hint_event AFTER INSERT ON instance_event FOR EACH STATEMENT EXECUTE FUNCTION hint_event();

-- +goose Down
DROP TRIGGER hint_event ON instance_event;
DROP FUNCTION hint_event;
DROP TABLE stream_request;

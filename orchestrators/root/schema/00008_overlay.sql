-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- What clusters have said of their overlays on behalf of one another. Each cluster's rows are its own, whole.
CREATE TABLE overlay_link (
    cluster_id   text PRIMARY KEY REFERENCES cluster ON DELETE CASCADE,
    report_epoch bigint NOT NULL DEFAULT 0, -- stamp of the last message
    report       bigint NOT NULL DEFAULT 0,
    full_epoch   bigint NOT NULL DEFAULT 0 -- root's epoch when everything was last told
);
CREATE TABLE overlay_want (
    cluster_id text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    address    inet NOT NULL,
    workers    text[] NOT NULL,
    PRIMARY KEY (cluster_id, address)
);
CREATE INDEX overlay_want_address ON overlay_want (address);
-- A name in lower case, and its parts.
CREATE TABLE overlay_name (
    cluster_id      text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    organization_id text NOT NULL,
    name            text NOT NULL,
    service         text NOT NULL,
    service_ns      text NOT NULL,
    app             text NOT NULL,
    app_ns          text NOT NULL,
    PRIMARY KEY (cluster_id, organization_id, name)
);
CREATE TABLE overlay_offer (
    cluster_id text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    service_id text NOT NULL,
    instances  jsonb NOT NULL, -- []wire.RouteInstance
    PRIMARY KEY (cluster_id, service_id)
);
CREATE INDEX overlay_offer_service ON overlay_offer (service_id);
CREATE TABLE overlay_worker (
    cluster_id text NOT NULL REFERENCES cluster ON DELETE CASCADE,
    worker_id  text NOT NULL,
    peer       jsonb NOT NULL, -- wire.NetPeer
    PRIMARY KEY (cluster_id, worker_id)
);
CREATE INDEX overlay_worker_id ON overlay_worker (worker_id);

-- The highest placement of an instance that could be reached by other clusters: no lower one becomes a route again.
ALTER TABLE instance ADD COLUMN routed bigint NOT NULL DEFAULT 0;

-- Where a service's instances are decides who has to hear of whom.
-- +goose StatementBegin
CREATE FUNCTION hint_overlay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('oakestra_overlay', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hint_overlay_moved AFTER UPDATE ON instance FOR EACH ROW
    WHEN (OLD.cluster_id IS DISTINCT FROM NEW.cluster_id) EXECUTE FUNCTION hint_overlay();
CREATE TRIGGER hint_overlay_gone AFTER DELETE ON instance FOR EACH STATEMENT EXECUTE FUNCTION hint_overlay();
CREATE TRIGGER hint_overlay_cluster AFTER INSERT OR DELETE ON cluster FOR EACH STATEMENT EXECUTE FUNCTION hint_overlay();

-- +goose Down
DROP TRIGGER hint_overlay_cluster ON cluster;
DROP TRIGGER hint_overlay_gone ON instance;
DROP TRIGGER hint_overlay_moved ON instance;
DROP FUNCTION hint_overlay;
ALTER TABLE instance DROP COLUMN routed;
DROP TABLE overlay_worker, overlay_offer, overlay_name, overlay_want, overlay_link;

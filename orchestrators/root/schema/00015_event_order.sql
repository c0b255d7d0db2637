-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Events get their ids in the order in which their transactions commit: one transaction at a time notes any, so that who has read up to an id
-- has read all up to there. Whatever changes instances runs under a lock already (place.go), before this one; here it holds for everybody.
-- +goose StatementBegin
CREATE FUNCTION before_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1868655364); -- 0x6f616b04, any number that nothing else in the database uses
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER before_events BEFORE INSERT ON instance_event FOR EACH STATEMENT EXECUTE FUNCTION before_events();

-- +goose StatementBegin
-- As before, but that a statement which is no event for any instance takes no lock.
CREATE OR REPLACE FUNCTION note_changed() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed n JOIN former o ON o.service_id = n.service_id AND o.number = n.number
        WHERE (o.state, o.detail, o.deleted_at IS NULL, o.cluster_id, o.placement, o.move)
            IS DISTINCT FROM (n.state, n.detail, n.deleted_at IS NULL, n.cluster_id, n.placement, n.move)) THEN
        RETURN NULL;
    END IF;
    INSERT INTO instance_event (service_id, number, state, detail, deleting, cluster_id, placement, move)
        SELECT n.service_id, n.number, n.state, n.detail, n.deleted_at IS NOT NULL, n.cluster_id, n.placement, n.move
        FROM changed n JOIN former o ON o.service_id = n.service_id AND o.number = n.number
        WHERE (o.state, o.detail, o.deleted_at IS NULL, o.cluster_id, o.placement, o.move)
            IS DISTINCT FROM (n.state, n.detail, n.deleted_at IS NULL, n.cluster_id, n.placement, n.move);
    -- Where a service's instances are decides who has to hear of whom.
    IF EXISTS (SELECT FROM changed n JOIN former o ON o.service_id = n.service_id AND o.number = n.number
        WHERE o.cluster_id IS DISTINCT FROM n.cluster_id) THEN
        PERFORM pg_notify('oakestra_overlay', '');
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

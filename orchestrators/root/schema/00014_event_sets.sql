-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- Events are noted once a statement, however many instances it adds, changes or removes: a trigger for each row costs more than the row.
DROP TRIGGER note_instance ON instance;
DROP FUNCTION note_instance;
DROP TRIGGER hint_overlay_moved ON instance;
DROP TRIGGER hint_event ON instance_event;
DROP FUNCTION hint_event;

-- +goose StatementBegin
CREATE FUNCTION note_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO instance_event (service_id, number, state, detail, deleting, cluster_id, placement, move)
        SELECT service_id, number, state, detail, deleted_at IS NOT NULL, cluster_id, placement, move FROM added;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
-- What is kept of a plan is made for the first statement, which may have been about one row: two thousand rows, joined by a loop in a loop,
-- would take seconds.
CREATE FUNCTION note_changed() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
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
-- +goose StatementBegin
CREATE FUNCTION note_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO instance_event (service_id, number, state, detail, deleting, cluster_id, placement, move)
        SELECT service_id, number, 'UNDEPLOYED', 'it is gone', true, cluster_id, placement, move FROM removed;
    -- Those of instances long gone: numbers are not used again, and services live for years.
    DELETE FROM instance_event e USING (SELECT DISTINCT service_id FROM removed) r WHERE e.service_id = r.service_id
        AND e.at < now() - interval '7 days' AND NOT EXISTS (SELECT FROM instance i WHERE i.service_id = e.service_id AND i.number = e.number);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER note_added AFTER INSERT ON instance REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_added();
CREATE TRIGGER note_changed AFTER UPDATE ON instance REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed();
CREATE TRIGGER note_removed AFTER DELETE ON instance REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION note_removed();

-- +goose StatementBegin
-- It runs within note_changed, whose setting is not for it.
CREATE FUNCTION after_events() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = on AS $$
DECLARE
    surplus bigint[];
BEGIN
    -- The last 50 of an instance are kept: one that crashes for ever must not fill the disk.
    SELECT array_agg(late.id) INTO surplus FROM (SELECT DISTINCT service_id, number FROM noted) n CROSS JOIN LATERAL
        (SELECT id FROM instance_event e WHERE e.service_id = n.service_id AND e.number = n.number ORDER BY id DESC OFFSET 50) late;
    IF surplus IS NOT NULL THEN
        DELETE FROM instance_event WHERE id = ANY (surplus);
    END IF;
    IF EXISTS (SELECT FROM noted) THEN
        PERFORM pg_notify('oakestra_event', '');
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER after_events AFTER INSERT ON instance_event REFERENCING NEW TABLE AS noted FOR EACH STATEMENT EXECUTE FUNCTION after_events();

-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- What became of instances, one row for each change of state, reason or place. Written by a trigger, so that no statement forgets it.
CREATE TABLE instance_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service_id text NOT NULL REFERENCES service ON DELETE CASCADE,
    number     integer NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    state      text NOT NULL,
    detail     text NOT NULL,
    deleting   boolean NOT NULL,
    cluster_id text, -- which may be gone
    placement  bigint NOT NULL,
    move       bigint NOT NULL
);
CREATE INDEX instance_event_instance ON instance_event (service_id, number, id);

-- +goose StatementBegin
CREATE FUNCTION note_instance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO instance_event (service_id, number, state, detail, deleting, cluster_id, placement, move)
            VALUES (OLD.service_id, OLD.number, 'UNDEPLOYED', 'it is gone', true, OLD.cluster_id, OLD.placement, OLD.move);
        -- Those of instances long gone: numbers are not used again, and services live for years.
        DELETE FROM instance_event e WHERE e.service_id = OLD.service_id AND e.at < now() - interval '7 days'
            AND NOT EXISTS (SELECT FROM instance i WHERE i.service_id = e.service_id AND i.number = e.number);
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND (OLD.state, OLD.detail, OLD.deleted_at IS NULL, OLD.cluster_id, OLD.placement, OLD.move)
        IS NOT DISTINCT FROM (NEW.state, NEW.detail, NEW.deleted_at IS NULL, NEW.cluster_id, NEW.placement, NEW.move) THEN
        RETURN NEW;
    END IF;
    INSERT INTO instance_event (service_id, number, state, detail, deleting, cluster_id, placement, move)
        VALUES (NEW.service_id, NEW.number, NEW.state, NEW.detail, NEW.deleted_at IS NOT NULL, NEW.cluster_id, NEW.placement, NEW.move);
    -- The last 50 of an instance are kept: one that crashes for ever must not fill the disk.
    DELETE FROM instance_event WHERE service_id = NEW.service_id AND number = NEW.number AND id <=
        (SELECT id FROM instance_event WHERE service_id = NEW.service_id AND number = NEW.number ORDER BY id DESC OFFSET 50 LIMIT 1);
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER note_instance AFTER INSERT OR UPDATE OR DELETE ON instance FOR EACH ROW EXECUTE FUNCTION note_instance();

-- +goose Down
DROP TRIGGER note_instance ON instance;
DROP FUNCTION note_instance;
DROP TABLE instance_event;

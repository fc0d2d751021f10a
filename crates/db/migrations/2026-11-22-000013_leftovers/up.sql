-- An adopted container carries no label: its id tells what is to go.
ALTER TABLE leftovers ADD COLUMN container_id text;
-- When a check was last asked to settle an attempt.
ALTER TABLE node_attempts ADD COLUMN checked_at timestamptz;
-- An operation stopped or paused the node's container: that it does not run is no failure.
ALTER TABLE nodes ADD COLUMN at_rest boolean NOT NULL DEFAULT false;
-- It says so of one container, and of none that serves. Programs of before set
-- no such word when they stop one.
CREATE FUNCTION nodes_rest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.at_rest := NOT OLD.at_rest;
    RETURN NEW;
END $$;
CREATE TRIGGER nodes_rest BEFORE UPDATE ON nodes FOR EACH ROW
    WHEN (OLD.at_rest = NEW.at_rest AND CASE WHEN NEW.at_rest
        THEN NEW.status = 'ACTIVE' OR NEW.physical_id IS DISTINCT FROM OLD.physical_id
        ELSE OLD.status = 'OPERATING' AND NEW.status = 'WARNING' AND NEW.status_reason LIKE 'The container %' END)
    EXECUTE FUNCTION nodes_rest();
UPDATE nodes SET at_rest = true WHERE status = 'WARNING' AND status_reason LIKE 'The container %';

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000013', '20261122000004');

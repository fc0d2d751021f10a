SET LOCAL lock_timeout = '10s';

-- What was seen of a node's container or machine when its status last changed,
-- beside the words for it; null: nothing was.
ALTER TABLE nodes ADD COLUMN condition text CHECK (condition IN ('RUNNING', 'EXITED', 'UNHEALTHY', 'UNRESPONSIVE',
    'SUSPENDED', 'GONE', 'UNKNOWN'));
-- A node that is ACTIVE runs. Older programs write words alone: 'Unknown: ...', or others.
CREATE FUNCTION nodes_condition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.condition := CASE
        WHEN NEW.status = 'ACTIVE' THEN 'RUNNING'
        WHEN NEW.status_reason LIKE 'Unknown:%' THEN 'UNKNOWN' END;
    RETURN NEW;
END $$;
CREATE TRIGGER nodes_condition BEFORE UPDATE OF status, status_reason ON nodes FOR EACH ROW
    WHEN (NEW.status = 'ACTIVE' AND NEW.condition IS DISTINCT FROM 'RUNNING'
        OR NEW.status = 'WARNING' AND NEW.condition IS NOT DISTINCT FROM OLD.condition
            AND NEW.status_reason IS DISTINCT FROM OLD.status_reason
            AND (NEW.condition IS NOT DISTINCT FROM 'UNKNOWN') <> (NEW.status_reason LIKE 'Unknown:%')
            AND NEW.status_reason NOT LIKE 'Host unknown:%')
    EXECUTE FUNCTION nodes_condition();
UPDATE nodes SET condition = 'UNKNOWN' WHERE status = 'WARNING' AND status_reason LIKE 'Unknown:%';

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000017', '20261122000004');

SET LOCAL lock_timeout = '10s';

-- ActionStatus::may_become, enforced where rows are written. A legal move costs
-- a comparison; the function is called for the others alone. AFTER: a trigger
-- before would lock each row first.
CREATE FUNCTION actions_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'action % cannot become % from %', OLD.id, NEW.status, OLD.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'actions_transition', TABLE = 'actions';
END $$;
CREATE TRIGGER actions_transition AFTER UPDATE OF status ON actions FOR EACH ROW
    WHEN (NOT CASE OLD.status
        WHEN 'RUNNING' THEN NEW.status IN ('WAITING', 'WAITING_LIFECYCLE_COMPLETION', 'READY', 'SUSPENDED', 'SUCCEEDED',
            'FAILED', 'CANCELLED')
        WHEN 'READY' THEN NEW.status IN ('RUNNING', 'SUSPENDED', 'SUCCEEDED', 'CANCELLED', 'FAILED')
        WHEN 'WAITING' THEN NEW.status IN ('READY', 'CANCELLED', 'FAILED')
        WHEN 'WAITING_LIFECYCLE_COMPLETION' THEN NEW.status IN ('READY', 'CANCELLED', 'FAILED')
        WHEN 'SUSPENDED' THEN NEW.status IN ('READY', 'CANCELLED', 'FAILED')
        WHEN 'INIT' THEN NEW.status IN ('READY', 'WAITING', 'WAITING_LIFECYCLE_COMPLETION', 'CANCELLED', 'FAILED')
        ELSE false END)
    EXECUTE FUNCTION actions_transition();

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000016', '20261122000004');

CREATE INDEX ON actions (name);
CREATE INDEX actions_active ON actions (target)
    WHERE status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION');
DELETE FROM schema_compatibility WHERE version = '20261122000014';

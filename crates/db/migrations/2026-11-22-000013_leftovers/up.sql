-- An adopted container carries no label: its id tells what is to go.
ALTER TABLE leftovers ADD COLUMN container_id text;
-- When a check was last asked to settle an attempt.
ALTER TABLE node_attempts ADD COLUMN checked_at timestamptz;
-- An operation stopped or paused the node's container: that it does not run is no failure.
ALTER TABLE nodes ADD COLUMN at_rest boolean NOT NULL DEFAULT false;
UPDATE nodes SET at_rest = true WHERE status = 'WARNING' AND status_reason LIKE 'The container %';

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000013', '20261122000004');

DROP TABLE deliveries, recoveries, node_loads, host_loads;
ALTER TABLE receivers DROP COLUMN options;
DELETE FROM receivers WHERE type NOT IN ('webhook', 'message');
ALTER TABLE receivers DROP CONSTRAINT receivers_type_check;
ALTER TABLE receivers ADD CONSTRAINT receivers_type_check CHECK (type IN ('webhook', 'message'));
DROP INDEX actions_failed_on_host, actions_asked;
UPDATE actions SET cause = 'RPC Request' WHERE cause IN ('Health Manager', 'Policy');
ALTER TABLE actions DROP CONSTRAINT actions_cause_check;
ALTER TABLE actions ADD CONSTRAINT actions_cause_check
    CHECK (cause IN ('RPC Request', 'Derived Action', 'Derived Action with Lifecycle Hook'));
ALTER TABLE cluster_policies DROP COLUMN due_at, DROP COLUMN memory;
ALTER TABLE hosts DROP COLUMN measure_at, DROP COLUMN watcher, DROP COLUMN watch_until;
ALTER TABLE nodes DROP COLUMN placed_at, DROP COLUMN protected_until;

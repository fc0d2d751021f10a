DROP TRIGGER nodes_condition ON nodes;
DROP FUNCTION nodes_condition();
ALTER TABLE nodes DROP COLUMN condition;
DELETE FROM schema_compatibility WHERE version = '20261122000017';

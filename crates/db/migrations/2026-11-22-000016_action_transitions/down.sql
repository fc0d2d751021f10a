DROP TRIGGER actions_transition ON actions;
DROP FUNCTION actions_transition();
DELETE FROM schema_compatibility WHERE version = '20261122000016';

ALTER TABLE nodes RESET (fillfactor);
CREATE INDEX ON nodes (status);
DELETE FROM schema_compatibility WHERE version = '20261122000015';

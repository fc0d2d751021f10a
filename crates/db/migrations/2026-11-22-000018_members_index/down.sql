CREATE INDEX ON nodes (cluster_id, index);
DROP INDEX nodes_members_idx;
DELETE FROM schema_compatibility WHERE version = '20261122000018';

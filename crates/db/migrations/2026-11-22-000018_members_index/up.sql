SET LOCAL lock_timeout = '10s';

-- A list of clusters reads each one's members from the index alone.
CREATE INDEX nodes_members_idx ON nodes (cluster_id, index, id);
DROP INDEX nodes_cluster_id_index_idx;

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000018', '20261122000004');

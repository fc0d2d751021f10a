-- A status picks out too many nodes to be looked up by alone. With room on its
-- page, a change of status then touches no index at all.
DROP INDEX nodes_status_idx;
ALTER TABLE nodes SET (fillfactor = 80);

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000015', '20261122000004');

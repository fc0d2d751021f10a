-- Each end of an action, and each change of a node, writes to every index of
-- its row. A status picks out too many rows to be looked up by alone, and of
-- live actions few have one target or are in one project.
DROP INDEX actions_active, actions_name_idx, nodes_status_idx, clusters_status_idx;
-- With room on its page, a change of status touches no index at all.
ALTER TABLE nodes SET (fillfactor = 80);

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000014', '20261122000004');

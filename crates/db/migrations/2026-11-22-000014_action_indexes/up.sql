-- Each end of an action writes to every index of its row. Of live actions few
-- have one target or are in one project. One table a migration: each waits for
-- its lock while it holds no other.
DROP INDEX actions_active, actions_name_idx;

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000014', '20261122000004');

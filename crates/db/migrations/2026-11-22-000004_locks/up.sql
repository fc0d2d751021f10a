-- One row per holder of a cluster. That a holder who needs the cluster alone
-- is alone is a constraint, so that no order of statements can break it: as
-- ranges of actions, a shared hold covers its own action, an exclusive one
-- covers all, and no two holds of a cluster may overlap.
CREATE TYPE uuid_range AS RANGE (subtype = uuid);
ALTER TABLE cluster_locks RENAME TO cluster_locks_by_array;
CREATE TABLE cluster_locks (
    cluster_id uuid NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    action_id uuid NOT NULL REFERENCES actions (id) ON DELETE CASCADE,
    exclusive boolean NOT NULL,
    CONSTRAINT cluster_locks_key PRIMARY KEY (cluster_id, action_id),
    CONSTRAINT exclusive_alone_shared_together EXCLUDE USING gist (
        uuid_range(cluster_id, cluster_id, '[]') WITH =,
        (CASE WHEN exclusive THEN uuid_range(NULL, NULL) ELSE uuid_range(action_id, action_id, '[]') END) WITH &&)
);
CREATE INDEX ON cluster_locks (action_id);
INSERT INTO cluster_locks (cluster_id, action_id, exclusive)
    SELECT l.cluster_id, a.id, l.exclusive
    FROM cluster_locks_by_array l JOIN actions a ON a.id = ANY (l.holders)
    WHERE a.status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
    ORDER BY l.cluster_id, a.seq
    ON CONFLICT DO NOTHING;
DROP TABLE cluster_locks_by_array;

-- The claims look at their own READY rows only, and never at an index that
-- ended actions are in as well.
DROP INDEX actions_status_idx;
DROP INDEX actions_ready;
CREATE INDEX actions_ready_nodes ON actions (project, seq) WHERE status = 'READY' AND lock_scope = 'NODE';
CREATE INDEX actions_ready_clusters ON actions (project, seq) WHERE status = 'READY' AND lock_scope <> 'NODE';
CREATE INDEX actions_ready_alone ON actions (cluster_id, seq) WHERE status = 'READY' AND lock_scope = 'CLUSTER';
CREATE INDEX actions_due ON actions (run_after) WHERE status = 'READY';

-- Programs of which schemas still work with a later one. A migration that
-- older programs can live with says so here in its last statement; one that
-- says nothing is for its own programs and later ones only.
CREATE TABLE schema_compatibility (
    version text PRIMARY KEY,
    programs_since text NOT NULL CHECK (programs_since <= version)
);

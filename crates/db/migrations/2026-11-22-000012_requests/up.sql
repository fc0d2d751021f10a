-- Dependents by id: the first few are read from the index alone.
CREATE INDEX ON profiles (host_cluster_id, id);
DROP INDEX profiles_host_cluster_id_idx;
CREATE INDEX ON profiles (host_node_id, id);
DROP INDEX profiles_host_node_id_idx;
CREATE INDEX ON nodes (host_id, id);
-- A short id is looked up among the project's own nodes.
CREATE INDEX ON nodes (project, id);

-- A request that came with an Idempotency-Key: who holds it, and its answer,
-- which is recorded by the transaction that does what was asked. Answers of
-- before are kept for a day only; they named no user, and are dropped.
DROP TABLE idempotency_keys;
CREATE TABLE idempotency_keys (
    project text NOT NULL,
    user_id text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- Of method, path, version and body: another request with the same key is a conflict.
    fingerprint text NOT NULL,
    -- The request that may do it; one that takes over has another.
    token uuid NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    status integer CHECK (status BETWEEN 100 AND 599),
    location text,
    -- Sealed: an answer can hold what opens a webhook.
    body text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, user_id, key)
);
CREATE INDEX ON idempotency_keys (created_at);

-- The size that the last accepted action brings a cluster to: it counts
-- against the quota from its acceptance until it ends.
CREATE TABLE promised_sizes (
    cluster_id uuid PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
    -- No foreign key: the action may be put away before the cluster goes.
    action_id uuid NOT NULL,
    size integer NOT NULL CHECK (size >= 0)
);

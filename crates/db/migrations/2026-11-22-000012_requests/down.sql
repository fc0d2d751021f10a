DROP TABLE promised_sizes;
DROP TABLE idempotency_keys;
CREATE TABLE idempotency_keys (
    project text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint text NOT NULL,
    status integer CHECK (status BETWEEN 100 AND 599),
    location text,
    body jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, key)
);
CREATE INDEX ON idempotency_keys (created_at);
DROP INDEX nodes_project_id_idx;
CREATE INDEX ON nodes (host_id);
DROP INDEX nodes_host_id_id_idx;
CREATE INDEX ON profiles (host_node_id);
DROP INDEX profiles_host_node_id_id_idx;
CREATE INDEX ON profiles (host_cluster_id);
DROP INDEX profiles_host_cluster_id_id_idx;

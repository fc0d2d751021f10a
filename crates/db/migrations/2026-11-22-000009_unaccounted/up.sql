-- Containers that carry our label and that the record neither has nor knows to
-- be gone, as after the restoring of a backup. They are not touched until an
-- operator settles each.
CREATE TABLE unaccounted_containers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    host_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    container_id text NOT NULL CHECK (length(container_id) BETWEEN 1 AND 128),
    -- What its labels say; it is the host's word.
    node_id uuid NOT NULL,
    generation integer NOT NULL,
    project text CHECK (length(project) <= 255),
    cluster_id uuid,
    profile_id uuid,
    name text NOT NULL CHECK (length(name) <= 255),
    running boolean NOT NULL,
    reason text NOT NULL CHECK (reason IN ('NODE_UNKNOWN', 'GENERATION_UNKNOWN', 'ACTION_UNKNOWN')),
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    -- An operator wants it removed.
    remove_asked_at timestamptz,
    UNIQUE (host_id, container_id)
);
CREATE INDEX ON unaccounted_containers (first_seen, id);

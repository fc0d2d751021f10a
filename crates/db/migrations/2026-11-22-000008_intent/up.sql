-- What is attempted is recorded before a host is touched; what has gone is
-- remembered, so that nothing is removed without a reason in the record.

-- The highest generation that was ever begun for the node. It counts no lower
-- than `generation`, which is the one that the node has.
ALTER TABLE nodes ADD COLUMN generations integer NOT NULL DEFAULT 1;

-- An update of a container whose end is not recorded yet. Ports, CPU and
-- memory of both profiles are kept in host_ports and nodes meanwhile.
CREATE TABLE node_attempts (
    node_id uuid PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    -- No foreign key: the attempt may outlast the record of its action.
    action_id uuid NOT NULL,
    generation integer NOT NULL,
    host_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    profile_id uuid NOT NULL REFERENCES profiles (id),
    begun_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON node_attempts (host_id);
CREATE INDEX ON node_attempts (profile_id);

-- Nodes that were deleted: what is found of them, up to this generation, is to go.
CREATE TABLE departed_nodes (
    node_id uuid PRIMARY KEY,
    generation integer NOT NULL,
    departed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON departed_nodes (departed_at);

-- A node that is ACTIVE has something that runs.
UPDATE nodes SET status = 'ERROR', status_reason = 'It has no container.'
    WHERE status = 'ACTIVE' AND physical_id IS NULL;
ALTER TABLE nodes ADD CONSTRAINT nodes_active_has_physical_id
    CHECK (status <> 'ACTIVE' OR physical_id IS NOT NULL);

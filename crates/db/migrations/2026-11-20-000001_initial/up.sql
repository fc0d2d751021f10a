-- Conventions (checked by tests/it/schema.rs): every foreign key is indexed,
-- every instant is timestamptz, every enum column has a CHECK.

-- This control plane's own id: containers carry it, so that two control
-- planes may share a host.
CREATE TABLE installation (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    only_one boolean NOT NULL DEFAULT true UNIQUE CHECK (only_one)
);
INSERT INTO installation DEFAULT VALUES;

CREATE TABLE clusters (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    profile_id uuid NOT NULL,
    user_id text NOT NULL,
    project text NOT NULL,
    domain text,
    init_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz,
    updated_at timestamptz,
    min_size integer NOT NULL CHECK (min_size >= 0),
    max_size integer NOT NULL CHECK (max_size >= -1),
    desired_capacity integer NOT NULL CHECK (desired_capacity >= 0),
    next_index integer NOT NULL DEFAULT 1,
    timeout integer NOT NULL,
    status text NOT NULL CHECK (status IN ('INIT', 'ACTIVE', 'CREATING', 'UPDATING', 'RESIZING',
        'DELETING', 'CHECKING', 'RECOVERING', 'CRITICAL', 'ERROR', 'WARNING', 'OPERATING')),
    status_reason text NOT NULL DEFAULT '',
    metadata jsonb NOT NULL DEFAULT '{}',
    data jsonb NOT NULL DEFAULT '{}',
    config jsonb NOT NULL DEFAULT '{}',
    shared_with text[] NOT NULL DEFAULT '{}'
);

CREATE TABLE profiles (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    type text NOT NULL,
    spec jsonb NOT NULL,
    user_id text NOT NULL,
    project text NOT NULL,
    domain text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz,
    -- What the spec's host_node and host_cluster resolved to.
    host_node_id uuid,
    host_cluster_id uuid REFERENCES clusters (id)
);
ALTER TABLE clusters ADD FOREIGN KEY (profile_id) REFERENCES profiles (id);
CREATE INDEX ON profiles (host_node_id);
CREATE INDEX ON profiles (host_cluster_id);
CREATE INDEX ON profiles (project, created_at, id);
CREATE INDEX ON profiles (created_at, id);
CREATE INDEX ON profiles (name);
CREATE INDEX ON profiles (type);
CREATE INDEX ON clusters (profile_id);
CREATE INDEX ON clusters (project, init_at, id);
CREATE INDEX ON clusters (init_at, id);
CREATE INDEX ON clusters (name);
CREATE INDEX ON clusters (status);

CREATE TABLE nodes (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    cluster_id uuid REFERENCES clusters (id),
    physical_id text,
    profile_id uuid NOT NULL REFERENCES profiles (id),
    user_id text NOT NULL,
    project text NOT NULL,
    domain text,
    index integer NOT NULL DEFAULT -1,
    role text CHECK (length(role) <= 64),
    init_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz,
    updated_at timestamptz,
    status text NOT NULL CHECK (status IN ('INIT', 'ACTIVE', 'ERROR', 'WARNING', 'CREATING',
        'UPDATING', 'DELETING', 'RECOVERING', 'OPERATING')),
    status_reason text NOT NULL DEFAULT '',
    metadata jsonb NOT NULL DEFAULT '{}',
    data jsonb NOT NULL DEFAULT '{}',
    tainted boolean NOT NULL DEFAULT false,
    -- Placement: where the container is, and what is kept free for it there.
    host_id uuid REFERENCES nodes (id),
    cpu_millis bigint NOT NULL DEFAULT 0,
    memory bigint NOT NULL DEFAULT 0,
    generation integer NOT NULL DEFAULT 1
);
ALTER TABLE profiles ADD FOREIGN KEY (host_node_id) REFERENCES nodes (id);
CREATE INDEX ON nodes (cluster_id, index);
CREATE INDEX ON nodes (profile_id);
CREATE INDEX ON nodes (host_id);
-- What runs belongs to one node.
CREATE UNIQUE INDEX ON nodes (physical_id);
CREATE INDEX ON nodes (project, init_at, id);
CREATE INDEX ON nodes (init_at, id);
CREATE INDEX ON nodes (name);
CREATE INDEX ON nodes (status);

-- A node that is a machine with Docker Engine.
CREATE TABLE hosts (
    node_id uuid PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    -- An engine's own ID does not identify a host; its endpoint does.
    endpoint text NOT NULL UNIQUE,
    state text NOT NULL DEFAULT 'UNKNOWN' CHECK (state IN ('UP', 'UNKNOWN')),
    last_seen timestamptz,
    info jsonb NOT NULL DEFAULT '{}',
    -- When an engine last took on its next heartbeat: each beat is made once.
    beat_at timestamptz NOT NULL DEFAULT 'epoch'
);
CREATE INDEX ON hosts (beat_at);

-- Published ports: two containers never get the same one.
CREATE TABLE host_ports (
    host_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    protocol text NOT NULL CHECK (protocol IN ('tcp', 'udp', 'sctp')),
    node_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (host_id, port, protocol)
);
CREATE INDEX ON host_ports (node_id);

-- Containers to be removed from a host that could not be reached when their
-- node went or moved: nothing is left behind when the host returns.
CREATE TABLE leftovers (
    node_id uuid NOT NULL,
    host_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    -- Containers of this and earlier generations are to go.
    generation integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, host_id)
);
CREATE INDEX ON leftovers (host_id);

CREATE TABLE policies (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    type text NOT NULL,
    spec jsonb NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    user_id text NOT NULL,
    project text NOT NULL,
    domain text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz
);
CREATE INDEX ON policies (project, created_at, id);
CREATE INDEX ON policies (name);
CREATE INDEX ON policies (type);

CREATE TABLE cluster_policies (
    id uuid PRIMARY KEY,
    cluster_id uuid NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    policy_id uuid NOT NULL REFERENCES policies (id),
    enabled boolean NOT NULL DEFAULT true,
    priority integer NOT NULL,
    data jsonb,
    last_op timestamptz,
    UNIQUE (cluster_id, policy_id)
);
CREATE INDEX ON cluster_policies (policy_id);

CREATE TABLE actions (
    id uuid PRIMARY KEY,
    -- Order of recording: created_at may be the same for many.
    seq bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    action text NOT NULL CHECK (action ~ '^(CLUSTER|NODE)_[A-Z_]+$'),
    target uuid NOT NULL,
    target_name text NOT NULL DEFAULT '',
    -- No foreign key: an action outlives its cluster.
    cluster_id uuid,
    parent_id uuid REFERENCES actions (id) ON DELETE CASCADE,
    cause text NOT NULL CHECK (cause IN ('RPC Request', 'Derived Action',
        'Derived Action with Lifecycle Hook')),
    lock_scope text NOT NULL CHECK (lock_scope IN ('CLUSTER', 'MEMBER', 'NODE')),
    host_id uuid,
    status text NOT NULL CHECK (status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED',
        'SUCCEEDED', 'FAILED', 'CANCELLED', 'WAITING_LIFECYCLE_COMPLETION')),
    status_reason text NOT NULL DEFAULT '',
    phase text NOT NULL DEFAULT '',
    control text CHECK (control IN ('CANCEL')),
    inputs jsonb NOT NULL DEFAULT '{}',
    outputs jsonb NOT NULL DEFAULT '{}',
    data jsonb NOT NULL DEFAULT '{}',
    owner uuid,
    -- Counts claims and fences writes.
    attempt integer NOT NULL DEFAULT 0,
    -- Counts what went wrong and bounds it.
    retries integer NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL DEFAULT now(),
    lease_expires_at timestamptz,
    interval integer NOT NULL DEFAULT -1,
    timeout integer NOT NULL CHECK (timeout > 0),
    user_id text NOT NULL,
    project text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    CHECK ((status = 'RUNNING') = (owner IS NOT NULL)),
    CHECK ((status = 'RUNNING') = (lease_expires_at IS NOT NULL))
);
CREATE INDEX actions_ready ON actions (project, seq) WHERE status = 'READY';
CREATE INDEX actions_running_project ON actions (project) WHERE status = 'RUNNING';
CREATE INDEX actions_running_host ON actions (host_id) WHERE status = 'RUNNING' AND host_id IS NOT NULL;
CREATE INDEX actions_lease ON actions (lease_expires_at) WHERE status = 'RUNNING';
CREATE INDEX actions_waiting ON actions (started_at) WHERE status = 'WAITING';
CREATE INDEX actions_active ON actions (target)
    WHERE status IN ('INIT', 'WAITING', 'READY', 'RUNNING', 'SUSPENDED', 'WAITING_LIFECYCLE_COMPLETION');
CREATE INDEX ON actions (parent_id);
CREATE INDEX ON actions (target);
CREATE INDEX ON actions (cluster_id);
CREATE INDEX ON actions (project, created_at, id);
CREATE INDEX ON actions (created_at, id);
CREATE INDEX ON actions (status);
CREATE INDEX ON actions (name);

CREATE TABLE action_dependencies (
    depended uuid NOT NULL REFERENCES actions (id) ON DELETE CASCADE,
    dependent uuid NOT NULL REFERENCES actions (id) ON DELETE CASCADE,
    PRIMARY KEY (depended, dependent)
);
CREATE INDEX ON action_dependencies (dependent);

CREATE TABLE cluster_locks (
    cluster_id uuid PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
    exclusive boolean NOT NULL,
    holders uuid[] NOT NULL CHECK (cardinality(holders) > 0)
);

CREATE TABLE node_locks (
    node_id uuid PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    action_id uuid NOT NULL REFERENCES actions (id) ON DELETE CASCADE
);
CREATE INDEX ON node_locks (action_id);

CREATE TABLE events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    timestamp timestamptz NOT NULL DEFAULT clock_timestamp(),
    oid uuid NOT NULL,
    oname text NOT NULL,
    otype text NOT NULL CHECK (otype IN ('CLUSTER', 'NODE')),
    cluster_id uuid,
    level text NOT NULL CHECK (level IN ('DEBUG', 'INFO', 'WARN', 'ERROR', 'CRITICAL')),
    user_id text NOT NULL,
    project text NOT NULL,
    action text NOT NULL,
    status text NOT NULL,
    status_reason text NOT NULL DEFAULT '',
    meta_data jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON events (project, timestamp, id);
CREATE INDEX ON events (timestamp, id);
CREATE INDEX ON events (oid);
CREATE INDEX ON events (cluster_id);

CREATE TABLE receivers (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    type text NOT NULL CHECK (type IN ('webhook', 'message')),
    user_id text NOT NULL,
    project text NOT NULL,
    domain text,
    cluster_id uuid REFERENCES clusters (id) ON DELETE CASCADE,
    action text,
    actor jsonb NOT NULL DEFAULT '{}',
    params jsonb NOT NULL DEFAULT '{}',
    channel jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz
);
CREATE INDEX ON receivers (cluster_id);
CREATE INDEX ON receivers (project, name, id);

CREATE TABLE services (
    id uuid PRIMARY KEY,
    host text NOT NULL,
    "binary" text NOT NULL,
    topic text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    disabled_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

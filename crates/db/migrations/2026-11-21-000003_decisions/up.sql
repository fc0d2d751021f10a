-- How loaded a host is, as last measured; smoothed.
CREATE TABLE host_loads (
    host_id uuid PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    measured_at timestamptz NOT NULL,
    -- Percent of its processors, and of its memory; null until there are two looks.
    cpu double precision CHECK (cpu >= 0),
    memory double precision CHECK (memory >= 0),
    -- Where the measure comes from, such as 'docker' or 'node-exporter'.
    source text NOT NULL,
    -- The counters that were read, for the next measure to subtract.
    sample jsonb NOT NULL
);
-- What a container uses of what it may use, in percent.
CREATE TABLE node_loads (
    node_id uuid PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    measured_at timestamptz NOT NULL,
    cpu double precision NOT NULL CHECK (cpu >= 0),
    memory double precision NOT NULL CHECK (memory >= 0)
);
ALTER TABLE nodes
    -- When it got its place: a measure before that does not know of it.
    ADD COLUMN placed_at timestamptz,
    -- Until then it does not go when its cluster scales in.
    ADD COLUMN protected_until timestamptz;
ALTER TABLE hosts
    -- When an engine last took on to measure it.
    ADD COLUMN measure_at timestamptz NOT NULL DEFAULT 'epoch',
    -- The engine that listens to it, and until when that holds.
    ADD COLUMN watcher uuid,
    ADD COLUMN watch_until timestamptz NOT NULL DEFAULT 'epoch';
CREATE INDEX ON hosts (measure_at);
CREATE INDEX ON hosts (watch_until);
ALTER TABLE cluster_policies
    -- When an engine next acts on it by itself: a health sweep, a look at a target.
    ADD COLUMN due_at timestamptz NOT NULL DEFAULT now(),
    -- What it remembers from look to look.
    ADD COLUMN memory jsonb NOT NULL DEFAULT '{}';
CREATE INDEX ON cluster_policies (due_at) WHERE enabled;

-- Recoveries that nobody asked for: they are counted, and bounded.
CREATE TABLE recoveries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    cluster_id uuid NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    node_id uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    action_id uuid NOT NULL,
    reason text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON recoveries (cluster_id, begun_at);
CREATE INDEX ON recoveries (node_id, begun_at);

-- Containers that could not be made lately, by host.
CREATE INDEX actions_failed_on_host ON actions (host_id, ended_at)
    WHERE status = 'FAILED' AND action = 'NODE_CREATE' AND host_id IS NOT NULL;
-- Members that are asked before they go.
CREATE INDEX actions_asked ON actions (run_after) WHERE status = 'WAITING_LIFECYCLE_COMPLETION';

-- Doors for senders that do not speak Senlin.
ALTER TABLE receivers DROP CONSTRAINT receivers_type_check;
ALTER TABLE receivers ADD CONSTRAINT receivers_type_check
    CHECK (type IN ('webhook', 'message', 'alertmanager', 'grafana', 'json'));
-- How it takes alerts; secrets sealed.
ALTER TABLE receivers ADD COLUMN options jsonb NOT NULL DEFAULT '{}';
-- What came in, and what became of it.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    receiver_id uuid NOT NULL REFERENCES receivers (id) ON DELETE CASCADE,
    received_at timestamptz NOT NULL DEFAULT now(),
    -- What repeats of one alert have in common.
    fingerprint text NOT NULL,
    alert text NOT NULL,
    state text NOT NULL CHECK (state IN ('FIRING', 'RESOLVED', 'OTHER')),
    outcome text NOT NULL CHECK (outcome IN ('BEGUN', 'ACTED', 'REPEATED', 'IGNORED', 'REFUSED')),
    reason text NOT NULL,
    action_id uuid
);
CREATE INDEX ON deliveries (receiver_id, received_at);
CREATE INDEX ON deliveries (receiver_id, fingerprint, received_at);

ALTER TABLE actions DROP CONSTRAINT actions_cause_check;
ALTER TABLE actions ADD CONSTRAINT actions_cause_check CHECK (cause IN ('RPC Request', 'Derived Action',
    'Derived Action with Lifecycle Hook', 'Health Manager', 'Policy'));

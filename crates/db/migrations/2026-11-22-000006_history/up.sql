-- History: what has ended lies apart from what has not, in partitions of a
-- week each that are dropped when they are old.

-- Puts a partition under `parent` for `begins <= key < ends`. It is made apart
-- and then attached: that blocks neither readers of the other partitions nor
-- writers. Rows of that time that had no partition come over from the rest.
CREATE FUNCTION add_partition(parent text, key text, begins timestamptz, ends timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    part text := parent || '_until_' || to_char(ends AT TIME ZONE 'UTC', 'YYYYMMDD');
    rest text := parent || '_rest';
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', rest);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= $1 AND %I < $2 RETURNING *)
        INSERT INTO %I SELECT * FROM moved', rest, key, key, part) USING begins, ends;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, begins, ends);
END $$;

-- The end of the week of an instant.
CREATE FUNCTION week_end(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT (date_trunc('week', at AT TIME ZONE 'UTC') + interval '7 days') AT TIME ZONE 'UTC'
$$;

-- Gives a new partitioned table its first partition, everything until the end
-- of this week, and the rest, for what fits no partition. `old`: a table that
-- becomes that first partition as it is.
CREATE FUNCTION begin_partitions(parent text, old text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ends timestamptz := week_end(now());
    part text := parent || '_until_' || to_char(ends AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    IF old IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
    ELSE
        EXECUTE format('ALTER TABLE %I RENAME TO %I', old, part);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', parent, part, ends);
    EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_rest', parent);
END $$;

-- Actions that have ended. Until a while after its end, an action is in
-- `actions`; it is in one of the two, never in both. No foreign keys: what
-- it was about may be gone.
CREATE TABLE ended_actions (
    id uuid NOT NULL,
    name text NOT NULL,
    action text NOT NULL,
    target uuid NOT NULL,
    cluster_id uuid,
    parent_id uuid,
    cause text NOT NULL,
    status text NOT NULL CHECK (status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')),
    status_reason text NOT NULL,
    phase text NOT NULL,
    control text CHECK (control IN ('CANCEL')),
    inputs jsonb NOT NULL,
    outputs jsonb NOT NULL,
    data jsonb NOT NULL,
    owner uuid,
    attempt integer NOT NULL,
    retries integer NOT NULL,
    interval integer NOT NULL,
    timeout integer NOT NULL,
    user_id text NOT NULL,
    project text NOT NULL,
    request_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz NOT NULL,
    -- Lists go by when an action was recorded; so does its age.
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX ON ended_actions (project, created_at, id);
CREATE INDEX ON ended_actions (created_at, id);
CREATE INDEX ON ended_actions (target, project, created_at);
CREATE INDEX ON ended_actions (cluster_id, project, created_at);
CREATE INDEX ON ended_actions (name);
-- What went wrong is little, and looked for.
CREATE INDEX ended_actions_unwell_idx ON ended_actions (project, created_at, id) WHERE status <> 'SUCCEEDED';
SELECT begin_partitions('ended_actions', NULL);

-- A parent that is moved takes no child with it.
ALTER TABLE actions DROP CONSTRAINT actions_parent_id_fkey;
-- What is to be moved.
CREATE INDEX actions_ended ON actions (ended_at) WHERE ended_at IS NOT NULL;
-- Rows come and go: they are cleaned up after soon.
ALTER TABLE actions SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Events. The table so far becomes the first partition.
-- Which transaction wrote it: seq is given before the commit, so whoever
-- reads on from a seq loses what commits late. Older ones count as first.
ALTER TABLE events ADD COLUMN xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
ALTER TABLE events DROP CONSTRAINT events_pkey;
ALTER TABLE events ALTER COLUMN seq DROP IDENTITY;
DROP INDEX events_oid_idx, events_cluster_id_idx;
ALTER TABLE events RENAME TO events_before;
ALTER INDEX events_project_timestamp_id_idx RENAME TO events_before_project_timestamp_id_idx;
ALTER INDEX events_timestamp_id_idx RENAME TO events_before_timestamp_id_idx;
CREATE SEQUENCE events_seq;
SELECT setval('events_seq', coalesce(max(seq), 0) + 1, false) FROM events_before;
ALTER TABLE events_before ALTER COLUMN seq SET DEFAULT nextval('events_seq');
CREATE TABLE events (
    LIKE events_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);
ALTER SEQUENCE events_seq OWNED BY events.seq;
CREATE INDEX ON events (project, timestamp, id);
CREATE INDEX ON events (timestamp, id);
CREATE INDEX ON events (oid, project, timestamp);
CREATE INDEX ON events (cluster_id, project, timestamp);
CREATE INDEX ON events (project, xid, seq);
CREATE INDEX ON events (xid, seq);
SELECT begin_partitions('events', 'events_before');

-- Deliveries and recoveries. No foreign keys any more: a new partition would
-- have to lock the tables that they refer to.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey, DROP CONSTRAINT deliveries_receiver_id_fkey;
ALTER TABLE deliveries RENAME TO deliveries_before;
ALTER INDEX deliveries_receiver_id_received_at_idx RENAME TO deliveries_before_received_idx;
ALTER INDEX deliveries_receiver_id_fingerprint_received_at_idx RENAME TO deliveries_before_fingerprint_idx;
CREATE TABLE deliveries (
    LIKE deliveries_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX ON deliveries (receiver_id, received_at);
CREATE INDEX ON deliveries (receiver_id, fingerprint, received_at);
SELECT begin_partitions('deliveries', 'deliveries_before');

ALTER TABLE recoveries DROP CONSTRAINT recoveries_pkey, DROP CONSTRAINT recoveries_cluster_id_fkey,
    DROP CONSTRAINT recoveries_node_id_fkey;
ALTER TABLE recoveries RENAME TO recoveries_before;
ALTER INDEX recoveries_cluster_id_begun_at_idx RENAME TO recoveries_before_cluster_idx;
ALTER INDEX recoveries_node_id_begun_at_idx RENAME TO recoveries_before_node_idx;
CREATE TABLE recoveries (
    LIKE recoveries_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (id, begun_at)
) PARTITION BY RANGE (begun_at);
CREATE INDEX ON recoveries (cluster_id, begun_at);
CREATE INDEX ON recoveries (node_id, begun_at);
SELECT begin_partitions('recoveries', 'recoveries_before');

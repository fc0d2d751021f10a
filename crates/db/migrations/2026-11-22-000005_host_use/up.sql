-- What is promised on each host, so that a placement need not add it up. A
-- row of its own, apart from the heartbeat's: placements lock it.
CREATE TABLE host_use (
    host_id uuid PRIMARY KEY REFERENCES hosts (node_id) ON DELETE CASCADE,
    cpu_millis bigint NOT NULL DEFAULT 0,
    memory bigint NOT NULL DEFAULT 0,
    containers bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Kept by triggers: whatever changes a node's place keeps it.
CREATE FUNCTION host_use_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO host_use (host_id, cpu_millis, memory, containers)
        SELECT NEW.node_id, coalesce(sum(cpu_millis), 0), coalesce(sum(memory), 0), count(*)
        FROM nodes WHERE host_id = NEW.node_id;
    RETURN NULL;
END $$;
CREATE TRIGGER host_use_begin AFTER INSERT ON hosts FOR EACH ROW EXECUTE FUNCTION host_use_begin();

CREATE FUNCTION host_use_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Of a move, both, in the order in which everybody locks hosts.
        PERFORM FROM host_use WHERE host_id IN (OLD.host_id, NEW.host_id) ORDER BY host_id FOR NO KEY UPDATE;
    END IF;
    IF TG_OP <> 'INSERT' AND OLD.host_id IS NOT NULL THEN
        UPDATE host_use SET cpu_millis = cpu_millis - OLD.cpu_millis, memory = memory - OLD.memory,
            containers = containers - 1 WHERE host_id = OLD.host_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.host_id IS NOT NULL THEN
        UPDATE host_use SET cpu_millis = cpu_millis + NEW.cpu_millis, memory = memory + NEW.memory,
            containers = containers + 1 WHERE host_id = NEW.host_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER host_use_placed AFTER INSERT ON nodes FOR EACH ROW
    WHEN (NEW.host_id IS NOT NULL) EXECUTE FUNCTION host_use_count();
CREATE TRIGGER host_use_gone AFTER DELETE ON nodes FOR EACH ROW
    WHEN (OLD.host_id IS NOT NULL) EXECUTE FUNCTION host_use_count();
CREATE TRIGGER host_use_moved AFTER UPDATE OF host_id, cpu_millis, memory ON nodes FOR EACH ROW
    WHEN ((OLD.host_id, OLD.cpu_millis, OLD.memory) IS DISTINCT FROM (NEW.host_id, NEW.cpu_millis, NEW.memory))
    EXECUTE FUNCTION host_use_count();

INSERT INTO host_use (host_id, cpu_millis, memory, containers)
    SELECT h.node_id, coalesce(sum(n.cpu_millis), 0), coalesce(sum(n.memory), 0), count(n.id)
    FROM hosts h LEFT JOIN nodes n ON n.host_id = h.node_id GROUP BY h.node_id;

-- A placement looks only at containers that came since the last measure.
DROP INDEX nodes_host_id_idx;
CREATE INDEX ON nodes (host_id, placed_at);

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000005', '20261122000004');

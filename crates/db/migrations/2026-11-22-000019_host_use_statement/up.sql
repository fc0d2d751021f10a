SET LOCAL lock_timeout = '10s';

-- A thousand members that are placed by one statement are counted by one, while
-- others wait for their hosts: those are locked at the statement's end, in the
-- order in which everybody locks them.
CREATE FUNCTION host_use_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM host_use WHERE host_id IN (SELECT host_id FROM placed) ORDER BY host_id FOR NO KEY UPDATE;
    UPDATE host_use u SET cpu_millis = u.cpu_millis + p.cpu_millis, memory = u.memory + p.memory,
        containers = u.containers + p.containers
    FROM (SELECT host_id, sum(cpu_millis) AS cpu_millis, sum(memory) AS memory, count(*) AS containers
        FROM placed WHERE host_id IS NOT NULL GROUP BY host_id) p
    WHERE u.host_id = p.host_id;
    RETURN NULL;
END $$;
DROP TRIGGER host_use_placed ON nodes;
CREATE TRIGGER host_use_placed AFTER INSERT ON nodes REFERENCING NEW TABLE AS placed
    FOR EACH STATEMENT EXECUTE FUNCTION host_use_placed();

INSERT INTO schema_compatibility (version, programs_since) VALUES ('20261122000019', '20261122000004');

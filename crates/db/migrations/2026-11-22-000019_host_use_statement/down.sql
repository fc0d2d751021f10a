DROP TRIGGER host_use_placed ON nodes;
DROP FUNCTION host_use_placed();
CREATE TRIGGER host_use_placed AFTER INSERT ON nodes FOR EACH ROW
    WHEN (NEW.host_id IS NOT NULL) EXECUTE FUNCTION host_use_count();
DELETE FROM schema_compatibility WHERE version = '20261122000019';

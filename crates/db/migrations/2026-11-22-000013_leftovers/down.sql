DROP TRIGGER nodes_rest ON nodes;
DROP FUNCTION nodes_rest();
ALTER TABLE nodes DROP COLUMN at_rest;
ALTER TABLE node_attempts DROP COLUMN checked_at;
ALTER TABLE leftovers DROP COLUMN container_id;

DROP TABLE idempotency_keys;
ALTER TABLE receivers DROP COLUMN key, DROP COLUMN expires_at;

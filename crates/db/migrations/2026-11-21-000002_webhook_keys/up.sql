-- What opens a webhook beside its id, sealed; and until when.
ALTER TABLE receivers
    ADD COLUMN key text NOT NULL DEFAULT '',
    ADD COLUMN expires_at timestamptz;
CREATE INDEX ON receivers (user_id);

-- A request that came with an Idempotency-Key, and its answer once there is one.
CREATE TABLE idempotency_keys (
    project text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- Of method, path, version and body: another request with the same key is a conflict.
    fingerprint text NOT NULL,
    status integer CHECK (status BETWEEN 100 AND 599),
    location text,
    body jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, key)
);
CREATE INDEX ON idempotency_keys (created_at);

//! Holds the containers that were seen on a host against the record, and brings
//! the list of those that it does not account for up to date. Judged and listed
//! from one snapshot: what an action records meanwhile is wholly seen or not at all.

use diesel::sql_types::{Bool, Text};
use senlin_core::ids::NodeId;
use serde_json::{Value, json};

use crate::{
    Conn, Result,
    events::Record,
    run::Run,
    sql::{Sql, row},
    unaccounted::{AGE, Labelled, MAX_ROWS_PER_HOST},
};

row! {
    /// One that is to be removed, or is listed now for the first time.
    JudgedRow { container: String = Text, name: String = Text, remove: bool = Bool }
}

/// Judges what was seen on `host`.
pub(crate) async fn judge_containers(conn: &mut Conn, host: NodeId, seen: &[Labelled]) -> Result<Vec<JudgedRow>> {
    let seen = seen.iter().map(|c| {
        json!({"container": c.container, "node": c.node, "generation": c.generation, "action": c.action,
            "attempt": c.attempt, "project": c.project, "cluster": c.cluster, "profile": c.profile,
            "name": c.name, "running": c.running, "created": c.created})
    });
    let told = Record {
        from: "nodes WHERE id = :host AND EXISTS (SELECT 1 FROM new)",
        level: "'WARN'",
        action: "'NODE_UNACCOUNTED'",
        status: "'error'",
        reason: "(SELECT count(*) || ' containers that the record does not account for, beginning with '
            || min(new.name) FROM new)",
    };
    Sql::new(
        "WITH seen AS (
            SELECT s.*, n.id IS NOT NULL AS known, u.id AS listed,
                coalesce(n.host_id = :host AND s.generation IN (n.generation, t.generation), false) AS own,
                coalesce(s.generation <= greatest(n.generation, n.generations), s.generation <= d.generation, false)
                    AS counted,
                to_timestamp(s.created) < now() - make_interval(secs => :age) OR EXISTS (SELECT 1 FROM actions a
                    WHERE a.id = s.action AND a.attempt >= s.attempt) OR EXISTS (SELECT 1 FROM ended_actions e
                    WHERE e.id = s.action AND e.attempt >= s.attempt) AS recorded,
                EXISTS (SELECT 1 FROM node_locks l WHERE l.node_id = s.node) AS busy
            FROM jsonb_to_recordset(:seen) AS s(container text, node uuid, generation integer, action uuid,
                attempt integer, project text, cluster uuid, profile uuid, name text, running boolean, created bigint)
            LEFT JOIN nodes n ON n.id = s.node LEFT JOIN node_attempts t ON t.node_id = n.id
            LEFT JOIN departed_nodes d ON d.node_id = s.node
            LEFT JOIN unaccounted_containers u ON u.host_id = :host AND u.container_id = s.container),
        -- No longer there, or the node's own by now.
        settled AS (
            DELETE FROM unaccounted_containers u WHERE u.host_id = :host
                AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.container = u.container_id AND NOT s.own)),
        again AS (
            UPDATE unaccounted_containers u SET last_seen = now(), running = s.running FROM seen s
            WHERE u.id = s.listed AND NOT s.own AND u.last_seen < now() - interval '1 minute'),
        new AS (
            INSERT INTO unaccounted_containers (host_id, container_id, node_id, generation, project, cluster_id,
                profile_id, name, running, reason)
            SELECT :host, container, node, generation, project, cluster, profile, name, running,
                CASE WHEN counted THEN 'ACTION_UNKNOWN' WHEN known THEN 'GENERATION_UNKNOWN' ELSE 'NODE_UNKNOWN' END
            FROM seen WHERE NOT own AND NOT busy AND listed IS NULL AND NOT (counted AND recorded)
            ORDER BY container
            LIMIT greatest(0, :most - (SELECT count(*) FROM unaccounted_containers WHERE host_id = :host))
            ON CONFLICT DO NOTHING
            RETURNING container_id, name),
        told AS (",
    )
    .push(&told.of_nodes())
    .push(
        ")
        SELECT container_id AS container, name, false AS remove FROM new
        UNION ALL SELECT container, name, true FROM seen
            WHERE NOT own AND NOT busy AND listed IS NULL AND counted AND recorded",
    )
    .set("host", host)
    .set("age", AGE)
    .set("seen", Value::Array(seen.collect()))
    .set("most", MAX_ROWS_PER_HOST)
    .fetch_all(conn)
    .await
}

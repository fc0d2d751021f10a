//! What the database says, read past the API. Relations may differ between
//! schema versions, so each is looked up before it is read.

use senlin_testkit::TestDb;

/// What keeps the columns of a row apart.
const BETWEEN: char = '\u{1f}';

/// These columns of every row, as text; null is empty.
pub(crate) async fn rows(db: &TestDb, columns: &[&str], rest: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let list: Vec<String> = columns.iter().map(|c| format!("coalesce(({c})::text, '')")).collect();
    let query = format!("SELECT concat_ws(chr(31), {}) {rest}", list.join(", "));
    let lines = db.column(&query).await?;
    Ok(lines
        .iter()
        .map(|l| l.split(BETWEEN).map(str::to_owned).collect())
        .collect())
}

/// A column of a row.
pub(crate) fn at(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

pub(crate) async fn exists(db: &TestDb, relation: &str) -> anyhow::Result<bool> {
    Ok(db.count(&format!("SELECT count(to_regclass('{relation}'))")).await? == 1)
}

/// What a query about all actions reads, as a relation that wants an alias:
/// those that have ended some time ago are kept apart.
pub(crate) async fn actions(db: &TestDb) -> anyhow::Result<String> {
    let columns = "id, action, target, cluster_id, parent_id, status, status_reason, project, created_at, ended_at";
    let mut relation = format!("SELECT {columns} FROM actions");
    if exists(db, "ended_actions").await? {
        relation.push_str(&format!(" UNION ALL SELECT {columns} FROM ended_actions"));
    }
    Ok(format!("({relation})"))
}

/// What must not be there when nothing is under way, and how much of it there is.
pub(crate) async fn unrest(db: &TestDb) -> anyhow::Result<Vec<(String, i64)>> {
    let open = "status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')";
    let mut seen = Vec::new();
    for (what, relation, condition) in [
        ("actions that have not ended", "actions", open),
        ("locks of clusters", "cluster_locks", "true"),
        ("locks of nodes", "node_locks", "true"),
        ("dependencies of actions", "action_dependencies", "true"),
        ("leftovers", "leftovers", "true"),
        ("silent hosts", "hosts", "state <> 'UP'"),
    ] {
        if exists(db, relation).await? {
            let count = db
                .count(&format!("SELECT count(*) FROM {relation} WHERE {condition}"))
                .await?;
            seen.push((what.to_owned(), count));
        }
    }
    Ok(seen)
}

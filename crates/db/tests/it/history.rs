//! What has ended lies apart, and looks the same from outside.

use senlin_core::{action::ActionStatus, caller::Scope, ids::*};
use senlin_db::{
    actions, children,
    history::{self, Partitioned},
    page::{Direction, Filter, Page},
};
use senlin_testkit::{TestDb, workspace};
use uuid::Uuid;

const SETTLE: f64 = 60.0;

/// An action that ended so long ago, or has not.
async fn action(db: &TestDb, project: &str, status: &str, ended: Option<&str>, more: &[(&str, String)]) -> Uuid {
    let id = Uuid::new_v4();
    let (mut columns, mut values) = (String::new(), String::new());
    for (column, value) in more {
        columns.push_str(&format!(", {column}"));
        values.push_str(&format!(", {value}"));
    }
    let ended = ended.map_or_else(|| "NULL".to_owned(), |ago| format!("now() - interval '{ago}'"));
    db.execute(&format!(
        "INSERT INTO actions (id, name, action, target, cause, lock_scope, status, timeout, user_id, project, ended_at
            {columns})
        VALUES ('{id}', 'act_{}', 'NODE_CHECK', gen_random_uuid(), 'RPC Request', 'NODE', '{status}', 60, 'u',
            '{project}', {ended} {values})",
        &id.to_string()[..8]
    ))
    .await
    .unwrap();
    id
}

async fn moved(db: &TestDb) -> Option<i64> {
    let mut conn = db.db.session();
    history::move_ended(&mut conn, SETTLE, 30, 1000).await.unwrap()
}

const LIVE: &str = "SELECT count(*) FROM actions";
const ENDED: &str = "SELECT count(*) FROM ended_actions";

#[tokio::test(flavor = "multi_thread")]
async fn a11_an_ended_action_moves_after_a_while_and_is_found_as_before() {
    let db = TestDb::new().await.unwrap();
    let old = action(&db, "p", "SUCCEEDED", Some("2 minutes"), &[]).await;
    action(&db, "p", "FAILED", Some("10 seconds"), &[]).await;
    action(&db, "p", "READY", None, &[]).await;
    let scope = Scope::Project("p".to_owned());
    let mut conn = db.db.session();
    let before = actions::find(&mut conn, &scope, &old.to_string())
        .await
        .unwrap()
        .unwrap();

    assert_eq!(moved(&db).await, Some(1));
    assert_eq!(moved(&db).await, Some(0), "once");
    assert_eq!(db.count(LIVE).await.unwrap(), 2);
    assert_eq!(db.count(ENDED).await.unwrap(), 1);
    for identity in [old.to_string(), old.to_string()[..13].to_owned(), before.name.clone()] {
        let found = actions::find(&mut conn, &scope, &identity).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("{identity} is found"));
        assert_eq!(format!("{found:?}"), format!("{before:?}"));
    }
    let other = Scope::Project("q".to_owned());
    assert!(
        actions::find(&mut conn, &other, &old.to_string())
            .await
            .unwrap()
            .is_none()
    );
    db.close().await.unwrap();
}

/// All ids of a list, page by page.
async fn pages(db: &TestDb, scope: &Scope, filters: &[Filter], sort: &[(&'static str, Direction)]) -> Vec<ActionId> {
    let mut conn = db.db.session();
    let mut page = Page {
        limit: Some(7),
        marker: None,
        sort: sort.to_vec(),
    };
    let mut all = Vec::new();
    loop {
        let some = actions::list(&mut conn, scope, filters, &page).await.unwrap();
        let Some(last) = some.last() else { return all };
        page.marker = Some(last.id.0);
        all.extend(some.iter().map(|a| a.id));
        assert!(all.len() < 1000, "the pages end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_pages_are_the_same_before_and_after_the_move() {
    let db = TestDb::new().await.unwrap();
    // Several were recorded at one instant; names and clusters repeat or lack.
    db.execute(
        "INSERT INTO actions (id, name, action, target, cluster_id, cause, lock_scope, status, timeout, user_id, project,
            created_at, ended_at)
        SELECT gen_random_uuid(), 'n' || i % 5, CASE i % 2 WHEN 0 THEN 'NODE_CHECK' ELSE 'NODE_CREATE' END,
            md5((i % 4)::text)::uuid, CASE WHEN i % 3 > 0 THEN md5((i % 3)::text)::uuid END, 'RPC Request', 'NODE',
            CASE WHEN i % 5 = 0 THEN 'READY' WHEN i % 7 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 60, 'u',
            CASE WHEN i % 6 = 0 THEN 'q' ELSE 'p' END, now() - make_interval(mins => 10 + i / 3),
            CASE WHEN i % 5 > 0 THEN now() - make_interval(mins => i) END
        FROM generate_series(2, 70) i",
    )
    .await
    .unwrap();
    use Direction::{Asc, Desc};
    let sorts: [&[(&'static str, Direction)]; 7] = [
        &[],
        &[("created_at", Desc)],
        &[("created_at", Desc), ("id", Desc)],
        &[("name", Asc)],
        &[("cluster_id", Desc), ("name", Asc)],
        &[("status", Desc), ("created_at", Asc)],
        &[("action", Asc), ("target", Desc), ("created_at", Desc)],
    ];
    let filter = |column, values: &[&str]| {
        vec![Filter {
            column,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }]
    };
    let target = db.column("SELECT md5('1')::uuid::text").await.unwrap().remove(0);
    let filters = [
        vec![],
        filter("status", &["SUCCEEDED"]),
        filter("status", &["SUCCEEDED", "READY"]),
        filter("target", &[&target]),
        filter("name", &["n1", "n2"]),
    ];
    let mut before = Vec::new();
    let scopes = [Scope::All, Scope::Project("p".to_owned())];
    for scope in &scopes {
        for filters in &filters {
            for sort in sorts {
                before.push(pages(&db, scope, filters, sort).await);
            }
        }
    }
    assert_eq!(before[0].len(), 69);
    assert!(moved(&db).await.unwrap() > 40);
    let mut before = before.into_iter();
    for scope in &scopes {
        for filters in &filters {
            for sort in sorts {
                let after = pages(&db, scope, filters, sort).await;
                assert_eq!(before.next().unwrap(), after, "{scope:?} {filters:?} {sort:?}");
            }
        }
    }
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_children_stay_until_their_parent_has_ended() {
    let db = TestDb::new().await.unwrap();
    let parent = action(&db, "p", "WAITING", None, &[]).await;
    let below = [
        ("parent_id", format!("'{parent}'")),
        ("data", "'{\"phase\": \"made\"}'".to_owned()),
    ];
    let child = action(&db, "p", "SUCCEEDED", Some("1 hour"), &below).await;
    action(&db, "p", "FAILED", Some("1 hour"), &below).await;
    let grandchild = [("parent_id", format!("'{child}'"))];
    action(&db, "p", "SUCCEEDED", Some("1 hour"), &grandchild).await;

    assert_eq!(moved(&db).await, Some(1), "only what no open parent has to read");
    let mut conn = db.db.session();
    let ends = children::ends(&mut conn, parent.into(), "made").await.unwrap();
    let mut ends: Vec<ActionStatus> = ends.into_iter().map(|e| e.status).collect();
    ends.sort_by_key(|s| s.as_str());
    assert_eq!(ends, [ActionStatus::Failed, ActionStatus::Succeeded]);

    let end =
        format!("UPDATE actions SET status = 'FAILED', ended_at = now() - interval '5 minutes' WHERE id = '{parent}'");
    db.execute(&end).await.unwrap();
    assert_eq!(moved(&db).await, Some(2), "children first");
    assert_eq!(moved(&db).await, Some(1));
    let found = actions::find(&mut conn, &Scope::All, &child.to_string())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.parent_id, Some(parent.into()));
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_creation_that_failed_stays_while_it_counts_against_its_host() {
    let db = TestDb::new().await.unwrap();
    let creation = [("host_id", "gen_random_uuid()".to_owned())];
    let id = action(&db, "p", "FAILED", Some("9 minutes"), &creation).await;
    db.execute("UPDATE actions SET action = 'NODE_CREATE'").await.unwrap();
    assert_eq!(moved(&db).await, Some(0));
    let later = format!("UPDATE actions SET ended_at = now() - interval '11 minutes' WHERE id = '{id}'");
    db.execute(&later).await.unwrap();
    assert_eq!(moved(&db).await, Some(1));
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_one_engine_at_a_time_and_nothing_twice() {
    let db = TestDb::new().await.unwrap();
    for _ in 0..20 {
        action(&db, "p", "SUCCEEDED", Some("2 minutes"), &[]).await;
    }
    let held = db.session().await.unwrap();
    held.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7307)")
        .await
        .unwrap();
    assert_eq!(moved(&db).await, None);
    let mut conn = db.db.session();
    let events = history::TABLES[1];
    assert_eq!(history::turn_over(&mut conn, events, 30).await.unwrap(), None);
    held.batch_execute("COMMIT").await.unwrap();
    let (a, b, c) = tokio::join!(moved(&db), moved(&db), moved(&db));
    let sum: i64 = [a, b, c].into_iter().flatten().sum();
    assert_eq!(sum, 20, "{a:?} {b:?} {c:?}");
    assert_eq!(db.count(ENDED).await.unwrap(), 20);
    db.close().await.unwrap();
}

async fn turned(db: &TestDb, of: Partitioned) -> history::Turned {
    let mut conn = db.db.session();
    history::turn_over(&mut conn, of, 30).await.unwrap().unwrap()
}

const EVENT: &str = "INSERT INTO events (oid, oname, otype, level, user_id, project, action, status, timestamp)
    VALUES (gen_random_uuid(), 'n', 'NODE', 'INFO', 'u', 'p', 'NODE_CHECK', 'start',";

#[tokio::test(flavor = "multi_thread")]
async fn a11_partitions_are_made_ahead_and_dropped_when_all_in_them_is_old() {
    let db = TestDb::new().await.unwrap();
    for of in history::TABLES {
        assert_eq!(
            turned(&db, of).await,
            history::Turned {
                made: 2,
                dropped: vec![]
            },
            "{of:?}"
        );
        assert_eq!(turned(&db, of).await, history::Turned::default(), "{of:?}");
    }
    // A partition that ended 29 days ago, and one 31 days ago.
    let present = "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'events'::regclass
        AND pg_get_expr((SELECT relpartbound FROM pg_class WHERE oid = inhrelid), inhrelid) LIKE '%MINVALUE%'";
    let present = db.column(present).await.unwrap().remove(0);
    db.execute(&format!(
        "ALTER TABLE events DETACH PARTITION {present}; DROP TABLE {present}"
    ))
    .await
    .unwrap();
    for (begins, ends) in [(40, 31), (31, 29), (29, 0)] {
        db.execute(&format!(
            "SELECT add_partition('events', 'timestamp', date_trunc('day', now()) - make_interval(days => {begins}),
                CASE {ends} WHEN 0 THEN week_end(now()) ELSE date_trunc('day', now()) - make_interval(days => {ends}) END)"
        ))
        .await
        .unwrap();
    }
    for age in [35, 30, 1] {
        db.execute(&format!("{EVENT} now() - interval '{age} days')"))
            .await
            .unwrap();
    }
    let done = turned(&db, history::TABLES[1]).await;
    assert_eq!((done.made, done.dropped.len()), (0, 1), "{done:?}");
    assert_eq!(db.count("SELECT count(*) FROM events").await.unwrap(), 2);
    let oldest = "SELECT extract(day FROM now() - min(timestamp))::int FROM events";
    assert_eq!(db.count(oldest).await.unwrap(), 30);
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_partition_in_use_is_left_for_later_and_nothing_waits_for_it() {
    let db = TestDb::new().await.unwrap();
    let reader = db.session().await.unwrap();
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM events")
        .await
        .unwrap();
    let mut conn = db.db.session();
    let events = history::TABLES[1];
    let error = history::turn_over(&mut conn, events, 30).await.unwrap_err();
    assert!(format!("{error:?}").contains("lock timeout"), "{error:?}");
    db.execute(&format!("{EVENT} now())")).await.unwrap();
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(turned(&db, events).await.made, 2);
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_what_fits_no_partition_is_kept_until_there_is_one() {
    let db = TestDb::new().await.unwrap();
    db.execute(&format!("{EVENT} now() + interval '8 days')"))
        .await
        .unwrap();
    assert_eq!(db.count("SELECT count(*) FROM events_rest").await.unwrap(), 1);
    turned(&db, history::TABLES[1]).await;
    assert_eq!(db.count("SELECT count(*) FROM events_rest").await.unwrap(), 0);
    assert_eq!(db.count("SELECT count(*) FROM events").await.unwrap(), 1);
    // An action recorded before all that is kept is dropped on its way.
    let ancient = [("created_at", "now() - interval '31 days'".to_owned())];
    action(&db, "p", "SUCCEEDED", Some("2 minutes"), &ancient).await;
    assert_eq!(moved(&db).await, Some(1));
    assert_eq!((db.count(LIVE).await.unwrap(), db.count(ENDED).await.unwrap()), (0, 0));
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_the_migration_keeps_what_there_was() {
    let db = TestDb::empty().await.unwrap();
    let mut folders: Vec<_> = std::fs::read_dir(workspace().join("crates/db/migrations"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    folders.sort();
    for folder in folders {
        let up = std::fs::read_to_string(folder.join("up.sql")).unwrap();
        if folder.ends_with("2026-11-22-000006_history") {
            let receiver = Uuid::new_v4();
            action(&db, "p", "SUCCEEDED", Some("2 minutes"), &[]).await;
            db.execute(&format!("{EVENT} now() - interval '3 days'); {EVENT} now())"))
                .await
                .unwrap();
            db.execute(&format!(
                "INSERT INTO receivers (id, name, type, user_id, project) VALUES ('{receiver}', 'r', 'json', 'u', 'p');
                INSERT INTO deliveries (receiver_id, fingerprint, alert, state, outcome, reason)
                VALUES ('{receiver}', 'f', 'a', 'FIRING', 'ACTED', '')"
            ))
            .await
            .unwrap();
            db.execute(&up).await.unwrap();
            break;
        }
        db.execute(&up).await.unwrap();
    }
    db.execute(&format!("{EVENT} now())")).await.unwrap();
    let seqs = db.column("SELECT seq FROM events ORDER BY xid, seq").await.unwrap();
    assert_eq!(seqs, ["1", "2", "3"]);
    assert_eq!(db.count("SELECT count(*) FROM deliveries").await.unwrap(), 1);
    for of in history::TABLES {
        assert_eq!(turned(&db, of).await.made, 2, "{of:?}");
    }
    assert_eq!(moved(&db).await, Some(1));
    assert_eq!(db.count(ENDED).await.unwrap(), 1);
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_marker_of_another_project_orders_nothing() {
    let db = TestDb::new().await.unwrap();
    let mine = action(&db, "p", "READY", None, &[]).await;
    let foreign = action(&db, "q", "READY", None, &[]).await;
    let mut conn = db.db.session();
    let scope = Scope::Project("p".to_owned());
    let after = |marker, sort: &[(&'static str, Direction)]| Page {
        limit: Some(10),
        marker: Some(marker),
        sort: sort.to_vec(),
    };
    for sort in [&[][..], &[("created_at", Direction::Desc)], &[("name", Direction::Asc)]] {
        let own = actions::list(&mut conn, &scope, &[], &after(mine, sort)).await.unwrap();
        assert_eq!(own.len(), 0, "{sort:?}");
        let others = actions::list(&mut conn, &scope, &[], &after(foreign, sort))
            .await
            .unwrap();
        assert_eq!(others.len(), 1, "{sort:?}");
    }
    db.close().await.unwrap();
}

//! Events in the order of commits.

use std::{collections::BTreeSet, time::Duration};

use senlin_core::caller::Scope;
use senlin_db::{
    events::{self, Cursor},
    page::Filter,
};
use senlin_testkit::TestDb;

fn event(name: &str) -> String {
    format!(
        "INSERT INTO events (oid, oname, otype, level, user_id, project, action, status)
        VALUES (gen_random_uuid(), '{name}', 'NODE', 'INFO', 'u', 'p', 'NODE_CHECK', 'start')"
    )
}

/// What is new after `at`, at most two at a time; moves `at` on.
async fn news(db: &TestDb, at: &mut Cursor, filters: &[Filter]) -> Vec<String> {
    let mut conn = db.db.session();
    let scope = Scope::Project("p".to_owned());
    let mut names = Vec::new();
    loop {
        let read = events::since(&mut conn, &scope, filters, *at, 2)
            .await
            .unwrap()
            .unwrap();
        // The text is what clients keep.
        *at = Cursor::parse(&read.next.to_string()).unwrap();
        if read.events.is_empty() {
            return names;
        }
        names.extend(read.events.into_iter().map(|e| e.oname));
    }
}

/// Reads on until there are so many: other databases' transactions delay what is settled.
async fn come(db: &TestDb, at: &mut Cursor, filters: &[Filter], many: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for _ in 0..600 {
        all.extend(news(db, at, filters).await);
        if all.len() >= many {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_an_event_that_commits_late_is_not_lost() {
    let db = TestDb::new().await.unwrap();
    let mut at = Cursor::default();
    db.execute(&event("first")).await.unwrap();
    assert_eq!(come(&db, &mut at, &[], 1).await, ["first"]);

    let late = db.session().await.unwrap();
    late.batch_execute(&format!("BEGIN; {}", event("late"))).await.unwrap();
    db.execute(&event("early")).await.unwrap();
    db.execute(&event("second")).await.unwrap();
    let order = db.column("SELECT oname FROM events ORDER BY seq").await.unwrap();
    assert_eq!(
        order,
        ["first", "early", "second"],
        "a reader by seq would go on after these"
    );
    assert_eq!(
        news(&db, &mut at, &[]).await,
        Vec::<String>::new(),
        "an older one is open"
    );
    late.batch_execute("COMMIT").await.unwrap();
    assert_eq!(come(&db, &mut at, &[], 3).await, ["late", "early", "second"]);
    assert_eq!(news(&db, &mut at, &[]).await, Vec::<String>::new());
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_many_writers_at_once_and_each_event_is_read_once() {
    let db = TestDb::new().await.unwrap();
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let session = db.session().await.unwrap();
        writers.spawn(async move {
            for n in 0..EACH {
                // Transactions of different lengths overlap; some come to nothing.
                let pause = (writer * 7 + n * 3) % 11;
                let end = if n % 5 == 4 { "ROLLBACK" } else { "COMMIT" };
                let name = format!("{writer}-{n}");
                let all = format!("BEGIN; {}; SELECT pg_sleep(0.00{pause}); {end}", event(&name));
                session.batch_execute(&all).await.unwrap();
            }
        });
    }
    let mut at = Cursor::default();
    let mut seen = Vec::new();
    while !writers.is_empty() {
        seen.extend(news(&db, &mut at, &[]).await);
        while writers.try_join_next().transpose().unwrap().is_some() {}
    }
    let written = db.column("SELECT oname FROM events").await.unwrap();
    seen.extend(come(&db, &mut at, &[], written.len() - seen.len()).await);
    assert_eq!(seen.len(), written.len());
    let set = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(seen), set(written));
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_a_reader_has_filters_and_a_restored_database_reads_on() {
    let db = TestDb::new().await.unwrap();
    for name in ["a", "b", "a"] {
        db.execute(&event(name)).await.unwrap();
    }
    // As if they had been written by a server that was further on.
    db.execute("UPDATE events SET xid = '4000000000'").await.unwrap();
    let mut conn = db.db.session();
    let there = Cursor::parse("ee6b2800-1").unwrap();
    assert!(
        events::since(&mut conn, &Scope::All, &[], there, 10)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(news(&db, &mut Cursor::default(), &[]).await, Vec::<String>::new());
    assert_eq!(events::settle_restored(&mut conn, 2).await.unwrap(), 2);
    assert_eq!(events::settle_restored(&mut conn, 2).await.unwrap(), 1);
    assert_eq!(events::settle_restored(&mut conn, 2).await.unwrap(), 0);
    let only = [Filter {
        column: "oname",
        values: vec!["a".to_owned()],
    }];
    assert_eq!(come(&db, &mut Cursor::default(), &only, 2).await, ["a", "a"]);
    for junk in ["x", "1", "1-", "-1-2", "1-2-3", "fffffffffffffffff-1"] {
        assert!(Cursor::parse(junk).is_none(), "{junk}");
    }
    db.close().await.unwrap();
}

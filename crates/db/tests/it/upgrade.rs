//! Programs and databases of different releases.

use senlin_db::{SchemaState, schema_state};
use senlin_testkit::TestDb;

use crate::yard::Yard;

async fn state(db: &TestDb) -> SchemaState {
    schema_state(&mut db.db.session()).await.unwrap()
}

/// A migration of the next release, as far as this one sees it.
async fn next_release(db: &TestDb, programs_since: Option<&str>) {
    db.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999000001')")
        .await
        .unwrap();
    if let Some(since) = programs_since {
        db.execute(&format!(
            "INSERT INTO schema_compatibility (version, programs_since) VALUES ('99999999000001', '{since}')"
        ))
        .await
        .unwrap();
    }
}

async fn newest(db: &TestDb) -> String {
    let query = "SELECT max(version) FROM __diesel_schema_migrations";
    db.column(query).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_ours_is_known_for_what_it_is() {
    let db = TestDb::new().await.unwrap();
    assert_eq!(state(&db).await, SchemaState::Current);
    next_release(&db, None).await;
    let ahead = state(&db).await;
    assert_eq!(ahead, SchemaState::Ahead(vec!["99999999000001".to_owned()]));
    assert!(!ahead.is_usable());
    db.execute("DELETE FROM __diesel_schema_migrations").await.unwrap();
    let behind = state(&db).await;
    assert!(matches!(&behind, SchemaState::Behind(missing) if !missing.is_empty()));
    assert!(!behind.is_usable());
    assert!(behind.to_string().contains("run 'senlin migrate'"), "{behind}");
    db.close().await.unwrap();
}

/// The database goes first: this program goes on working on what the next
/// release made of it.
#[tokio::test(flavor = "multi_thread")]
async fn a15_an_older_program_works_on_a_newer_compatible_schema() {
    let yard = Yard::new().await;
    let ours = newest(&yard.db).await;
    yard.db
        .execute(
            "ALTER TABLE actions ADD COLUMN of_the_next_release text; ALTER TABLE clusters ADD COLUMN slot integer",
        )
        .await
        .unwrap();
    next_release(&yard.db, Some(&ours)).await;
    let newer = state(&yard.db).await;
    assert_eq!(newer, SchemaState::Newer(vec!["99999999000001".to_owned()]));
    assert!(newer.is_usable());
    let cluster = yard.cluster("p1", 1).await;
    let action = yard.check_cluster("p1", cluster.id).await;
    let claimed = yard.claim_cluster(64).await.unwrap();
    assert_eq!(claimed.id, action);
    yard.finish(&claimed).await.unwrap();
    assert_eq!(yard.status(action).await, "SUCCEEDED");
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_a_program_refuses_a_schema_that_is_for_newer_ones_only() {
    let db = TestDb::new().await.unwrap();
    next_release(&db, Some("99999999000001")).await;
    let ahead = state(&db).await;
    assert!(!ahead.is_usable(), "{ahead}");
    assert!(ahead.to_string().contains("cannot work with"), "{ahead}");
    db.close().await.unwrap();
}

/// The other direction: the newest program meets a database that nobody has
/// migrated yet, names what is missing, and works once that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a15_a_newer_program_waits_for_the_migration() {
    let db = TestDb::new().await.unwrap();
    let ours = newest(&db).await;
    let last = format!("version = '{ours}'");
    db.execute(&format!("DELETE FROM __diesel_schema_migrations WHERE {last}"))
        .await
        .unwrap();
    let behind = state(&db).await;
    assert_eq!(behind, SchemaState::Behind(vec![ours.clone()]));
    assert!(behind.to_string().contains("run 'senlin migrate'"), "{behind}");
    db.execute(&format!(
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('{ours}')"
    ))
    .await
    .unwrap();
    assert!(state(&db).await.is_usable());
    db.close().await.unwrap();
}

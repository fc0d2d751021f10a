//! Several servers, of which some are dead, dark or refuse.

use std::time::Duration;

use senlin_core::secret::Secret;
use senlin_db::{Db, Servers, Unusable, schema_state, usable};
use senlin_testkit::{TestDb, gate::Gate, until};

/// `host:port` of a URL.
fn place(url: &str) -> String {
    let rest = url.rsplit_once('@').unwrap().1;
    rest.split_once('/').unwrap().0.to_owned()
}

fn through(db: &TestDb, places: &[&str]) -> Secret {
    Secret::new(db.url().replacen(&place(db.url()), &places.join(","), 1))
}

async fn ask(url: &Secret) -> Result<(), Unusable> {
    let db = Db::connect(url, 2).unwrap();
    usable(&Servers::parse(url).unwrap(), &db).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dead_or_dark_hides_no_other() {
    let test = TestDb::new().await.unwrap();
    let dark = Gate::before(&place(test.url()), "127.0.0.1:0").await.unwrap();
    dark.shut();
    let url = through(&test, &["127.0.0.1:1", &dark.address, &place(test.url())]);
    ask(&url).await.unwrap();

    // Asked once, the dark one is not asked for every connection.
    let db = Db::connect(&url, 8).unwrap();
    for _ in 0..2 {
        schema_state(&mut db.session()).await.unwrap();
    }
    let asked = dark.accepted();
    let conns: Vec<_> = (0..6)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { schema_state(&mut db.session()).await })
        })
        .collect();
    for conn in conns {
        conn.await.unwrap().unwrap();
    }
    assert_eq!(dark.accepted(), asked);
    db.close();
    test.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_told_from_what_will_not() {
    let test = TestDb::empty().await.unwrap();
    let Err(Unusable::Passing(why)) = ask(&Secret::new(test.url())).await else {
        unreachable!("an empty database has no schema yet")
    };
    assert!(why.contains("run 'senlin migrate'"), "{why}");

    let away = through(&test, &["127.0.0.1:1"]);
    let Err(Unusable::Passing(why)) = ask(&away).await else {
        unreachable!("a server that is away may come back")
    };
    assert!(why.contains("127.0.0.1:1: ") && why.contains("refused"), "{why}");

    let (base, _) = test.url().rsplit_once('/').unwrap();
    let unknown = Secret::new(format!("{base}/there_is_none"));
    let Err(Unusable::Lasting(why)) = ask(&unknown).await else {
        unreachable!("a database that is not there does not come by itself")
    };
    for word in [
        &place(test.url()),
        "user 'senlin'",
        "database 'there_is_none'",
        "does not exist",
    ] {
        assert!(why.contains(word), "{why}");
    }
    test.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_not_used() {
    let test = TestDb::new().await.unwrap();
    let name = test.url().rsplit_once('/').unwrap().1.to_owned();
    test.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await
        .unwrap();
    let url = Secret::new(test.url());
    let Err(Unusable::Passing(why)) = ask(&url).await else {
        unreachable!("a standby may be promoted")
    };
    assert!(why.contains("does not allow writes"), "{why}");
    test.execute(&format!(
        "BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"
    ))
    .await
    .unwrap();
    until("writes to be taken", Duration::from_secs(10), || async {
        Ok(ask(&url).await?)
    })
    .await
    .unwrap();
    test.close().await.unwrap();
}

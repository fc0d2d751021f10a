//! The moves of an action's status, against the database itself.

use senlin_core::action::ActionStatus;

use crate::yard::Yard;

/// Sets a status, with what the row must have in it.
fn set(status: ActionStatus) -> String {
    let (owner, lease) = match status {
        ActionStatus::Running => ("gen_random_uuid()", "now()"),
        _ => ("NULL", "NULL"),
    };
    format!(
        "UPDATE actions SET status = '{}', owner = {owner}, lease_expires_at = {lease}",
        status.as_str()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_follow_is_written() {
    let yard = Yard::new().await;
    let node = yard.node("p1", None, 1).await;
    yard.check_orphan("p1", node).await;
    let mut refused = 0;
    for &from in ActionStatus::ALL {
        for &next in ActionStatus::ALL {
            let unchecked = format!(
                "SET session_replication_role = replica; {}; SET session_replication_role = DEFAULT",
                set(from)
            );
            yard.db.execute(&unchecked).await.unwrap();
            let written = yard.db.execute(&set(next)).await;
            assert_eq!(
                written.is_ok(),
                from.may_become(next),
                "{from:?} -> {next:?}: {written:?}"
            );
            if let Err(error) = written {
                let told = format!("{error:?}");
                assert!(told.contains("cannot become"), "{told}");
                refused += 1;
            }
        }
    }
    println!("{refused} of 81 moves are refused");
    yard.db.close().await.unwrap();
}

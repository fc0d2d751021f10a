//! Statements that must be one, each run by itself.

use senlin_core::{Map, ids::*, receiver::Receiver};
use senlin_db::{
    idempotency::{Keep, Stored},
    quota::{self, Full, Growth},
    receivers,
};
use serde_json::json;

use crate::yard::Yard;

pub(crate) async fn receiver(yard: &Yard, cluster: Option<ClusterId>) -> Receiver {
    let answer = |_: &Receiver| Stored {
        status: 201,
        location: None,
        body: json!({}),
    };
    let long_ago = "2000-01-01T00:00:00Z".parse().unwrap();
    let new = Receiver {
        id: ReceiverId::random(),
        name: "r".to_owned(),
        type_name: "webhook".to_owned(),
        user: "u".to_owned(),
        project: "p".to_owned(),
        domain: None,
        cluster_id: cluster,
        action: Some("CLUSTER_SCALE_OUT".to_owned()),
        actor: Map::new(),
        params: json!({"count": 2}).as_object().unwrap().clone(),
        channel: Map::new(),
        options: Map::new(),
        key: "sealed".to_owned(),
        created_at: long_ago,
        updated_at: None,
        expires_at: None,
    };
    let keep = Keep::new(None, &answer);
    let made = receivers::create(&mut yard.db.db.session(), &new, &keep).await.unwrap();
    assert!(made.created_at > long_ago, "its time is the database's");
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_goes_with_what_came_in_through_it() {
    let yard = Yard::new().await;
    let (gone, stays) = (receiver(&yard, None).await, receiver(&yard, None).await);
    for id in [gone.id, gone.id, stays.id] {
        yard.db
            .execute(&format!(
                "INSERT INTO deliveries (receiver_id, fingerprint, alert, state, outcome, reason)
                VALUES ('{id}', 'f', 'a', 'FIRING', 'BEGUN', '')"
            ))
            .await
            .unwrap();
    }
    receivers::delete(&mut yard.db.db.session(), gone.id).await.unwrap();
    let left = [stays.id.to_string()];
    assert_eq!(yard.db.column("SELECT id::text FROM receivers").await.unwrap(), left);
    let came = "SELECT receiver_id::text FROM deliveries";
    assert_eq!(yard.db.column(came).await.unwrap(), left);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_counts_with_what_it_will_have() {
    let yard = Yard::new().await;
    let desired = yard.cluster("p", 2).await.id;
    yard.db
        .execute(&format!(
            "UPDATE clusters SET desired_capacity = 3 WHERE id = '{desired}'"
        ))
        .await
        .unwrap();
    let promised = yard.cluster("p", 1).await.id;
    let action = yard.check_cluster("p", promised).await;
    let broken = yard.cluster("p", 1).await.id;
    let ended = ActionId::random();
    yard.db
        .execute(&format!(
            "INSERT INTO promised_sizes (cluster_id, action_id, size)
            VALUES ('{promised}', '{action}', 5), ('{broken}', '{ended}', 7)"
        ))
        .await
        .unwrap();
    yard.node("p", None, -1).await;
    yard.cluster("another", 4).await;
    let mut conn = yard.db.db.session();
    // Three desired, five promised, one that is there, and one of no cluster.
    let full = Full { have: 10, more: 1 };
    for growth in [Growth::By(1), Growth::To(promised, 6), Growth::To(desired, 4)] {
        assert_eq!(quota::nodes(&mut conn, "p", growth, 10).await.unwrap(), Some(full));
        assert_eq!(quota::nodes(&mut conn, "p", growth, 11).await.unwrap(), None);
    }
    let as_promised = Growth::To(promised, 5);
    assert_eq!(quota::nodes(&mut conn, "p", as_promised, 0).await.unwrap(), None);
    yard.db.close().await.unwrap();
}

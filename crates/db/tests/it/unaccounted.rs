//! Containers that the record does not account for.

use senlin_core::{action::ActionStatus, ids::*};
use senlin_db::{
    child_actions::NewNode,
    fence::{self, Fence},
    placement::Place,
    unaccounted::{self, Labelled, Refusal, Verdict},
};
use senlin_testkit::records;

use crate::yard::{Yard, end};

fn labelled(container: &str, node: NodeId, generation: i32) -> Labelled {
    Labelled {
        container: container.to_owned(),
        node,
        generation,
        action: None,
        attempt: None,
        project: Some("p1".to_owned()),
        cluster: None,
        profile: None,
        name: format!("name of {container}"),
        running: true,
        created: 4_000_000_000,
    }
}

/// A host, and a node whose container it has.
async fn hosted(yard: &Yard) -> (NodeId, NodeId, Place) {
    let (host, node) = (yard.node("p1", None, -1).await, yard.node("p1", None, 1).await);
    let record = format!(
        "INSERT INTO hosts (node_id, endpoint) VALUES ('{host}', 'h');
        UPDATE nodes SET host_id = '{host}' WHERE id = '{node}'"
    );
    yard.db.execute(&record).await.unwrap();
    let place = Place {
        host,
        cpu_millis: 100,
        memory: 10,
        ports: Vec::new(),
    };
    (host, node, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accounted_for_is_listed_and_found() {
    let yard = Yard::new().await;
    let (host, node, _) = hosted(&yard).await;
    let gone = NodeId::random();
    let departed = format!(
        "INSERT INTO departed_nodes (node_id, generation) VALUES ('{gone}', 1);
        INSERT INTO departed_nodes (node_id, generation, departed_at)
        VALUES (gen_random_uuid(), 1, now() - interval '31 days')"
    );
    yard.db.execute(&departed).await.unwrap();
    let mut conn = yard.db.db.session();
    let known = yard.check_orphan("p1", node).await;
    let mut dead = labelled("dead", gone, 1);
    (dead.action, dead.attempt) = (Some(known), Some(0));
    let seen = [
        labelled("own", node, 1),
        labelled("aaaaaaaaaaaa-later", node, 7),
        labelled("aaaaaaaaaaaa-strange", NodeId::random(), 1),
        labelled("bbbbbbbbbbbb-strange", NodeId::random(), 1),
        dead,
    ];
    let mut verdict = unaccounted::judge(&mut conn, host, &seen).await.unwrap();
    verdict.new.sort();
    let named = ["aaaaaaaaaaaa-later", "aaaaaaaaaaaa-strange", "bbbbbbbbbbbb-strange"];
    assert_eq!(
        verdict,
        Verdict {
            remove: vec!["dead".to_owned()],
            new: named.map(|n| format!("name of {n}")).to_vec(),
        }
    );
    let again = unaccounted::judge(&mut conn, host, &seen[..3]).await.unwrap();
    assert_eq!(again, Verdict::default(), "told once, and one has gone");

    let all = unaccounted::list(&mut conn, 10, None).await.unwrap();
    let first = unaccounted::list(&mut conn, 1, None).await.unwrap();
    let rest = unaccounted::list(&mut conn, 10, Some(first[0].id)).await.unwrap();
    let ids = |some: &[unaccounted::Unaccounted]| some.iter().map(|u| u.id).collect::<Vec<_>>();
    assert_eq!(ids(&all), [ids(&first), ids(&rest)].concat());
    assert_eq!(all.len(), 2);
    let nobody = unaccounted::list(&mut conn, 10, Some(gone.0)).await.unwrap();
    assert!(nobody.is_empty(), "after one that is not listed");
    let strange = all.iter().find(|u| u.container.ends_with("strange")).unwrap();
    assert_eq!((strange.host, strange.host_name.as_str()), (host, "n-1"));
    assert!(!strange.node_known && strange.may_be_there);

    let yes = [
        strange.id.to_string(),
        strange.container.clone(),
        strange.container[..14].to_owned(),
    ];
    for identity in yes {
        let found = unaccounted::get(&mut conn, &identity).await.unwrap();
        assert_eq!(found.map(|u| u.id), Some(strange.id), "{identity}");
    }
    for identity in ["aaaaaaaaaaaa", "aaaa", "bbbbbbbbbbbb-strange", &gone.to_string()] {
        assert!(
            unaccounted::get(&mut conn, identity).await.unwrap().is_none(),
            "{identity}"
        );
    }
    assert_eq!(unaccounted::forget(&mut conn).await.unwrap(), 1);
    assert_eq!(unaccounted::forget(&mut conn).await.unwrap(), 0);
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_taken_back_by_its_node_or_by_a_new_one() {
    let yard = Yard::new().await;
    let (host, node, place) = hosted(&yard).await;
    let herd = yard.cluster("p1", 2).await;
    let mut conn = yard.db.db.session();
    let lost = NodeId::random();
    let seen = [labelled("later", node, 7), labelled("lost", lost, 3)];
    unaccounted::judge(&mut conn, host, &seen).await.unwrap();
    let later = unaccounted::get(&mut conn, "later").await.unwrap().unwrap();
    let stray = unaccounted::get(&mut conn, "lost").await.unwrap().unwrap();

    let had = node.to_string();
    let busy = unaccounted::repair(&mut conn, &later, None, yard.profile, &place).await;
    assert_eq!(busy.unwrap(), Err(Refusal::Busy), "it has another container by now");
    let check = yard.check_orphan("p1", node).await;
    let action = yard.claim_nodes(1).await.remove(0);
    let busy = unaccounted::repair(&mut conn, &later, Some(&had), yard.profile, &place).await;
    assert_eq!((check, busy.unwrap()), (action.id, Err(Refusal::Busy)));
    fence::finish(&mut conn, Fence::of(&action).unwrap(), &end(ActionStatus::Failed), None)
        .await
        .unwrap();
    let taken = unaccounted::repair(&mut conn, &later, Some(&had), yard.profile, &place).await;
    assert_eq!(taken.unwrap(), Ok(()));
    let gone = unaccounted::repair(&mut conn, &later, Some("later"), yard.profile, &place).await;
    assert_eq!(gone.unwrap(), Err(Refusal::Gone));

    let new = NewNode {
        id: lost,
        cluster_id: Some(herd.id),
        ..records::node("p1", "again", yard.profile)
    };
    let restored = unaccounted::restore(&mut conn, &stray, None, &new, &place).await;
    assert_eq!(restored.unwrap(), Ok(()));
    let rows = format!(
        "SELECT concat_ws(' ', status, physical_id, generation, generations, index, cpu_millis, created_at IS NULL)
        FROM nodes WHERE id IN ('{node}', '{lost}') ORDER BY generation"
    );
    assert_eq!(
        yard.db.column(&rows).await.unwrap(),
        ["WARNING lost 3 3 1 100 f", "WARNING later 7 7 1 100 t"]
    );
    let size = format!("SELECT desired_capacity FROM clusters WHERE id = '{}'", herd.id);
    assert_eq!(yard.db.count(&size).await.unwrap(), 3, "it holds one more");

    // What is to be removed is not taken back any more.
    let seen = [labelled("other", NodeId::random(), 1)];
    unaccounted::judge(&mut conn, host, &seen).await.unwrap();
    let other = unaccounted::get(&mut conn, "other").await.unwrap().unwrap();
    unaccounted::ask_removal(&mut conn, other.id).await.unwrap();
    let asked = unaccounted::get(&mut conn, "other")
        .await
        .unwrap()
        .unwrap()
        .remove_asked_at;
    unaccounted::ask_removal(&mut conn, other.id).await.unwrap();
    let again = unaccounted::get(&mut conn, "other").await.unwrap().unwrap();
    assert!(asked.is_some() && again.remove_asked_at == asked, "asked for once");
    let refused = unaccounted::restore(&mut conn, &again, None, &new, &place).await;
    assert_eq!(refused.unwrap(), Err(Refusal::Gone));
    yard.db.close().await.unwrap();
}

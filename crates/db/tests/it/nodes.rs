//! Nodes as they are read: by themselves, together, and by what they are called.

use senlin_core::{
    Map, action::Action, caller::Scope, host::HostInfo, ids::*, node::NodeStatus, placement::Requirements,
};
use senlin_db::{
    attempts,
    child_actions::NewNode,
    fence::Fence,
    idempotency::{Keep, Stored},
    nodes::{self, Adoption},
    page::{Direction, Filter, Page},
    placement::{self, Place},
    profiles::{self, NewProfile},
};
use senlin_testkit::records;
use serde_json::json;

use crate::yard::Yard;

pub(crate) fn profile(name: &str, host: Option<NodeId>) -> NewProfile {
    NewProfile {
        spec: json!({"properties": {"zone": "z1", "labels": {"region": "r1"}}}),
        host_node: host,
        ..records::profile("p", name)
    }
}

pub(crate) fn new_node(yard: &Yard, name: &str) -> NewNode {
    NewNode {
        metadata: Map::from_iter([("a".to_owned(), json!(1))]),
        ..records::node("p", name, yard.profile)
    }
}

pub(crate) fn needs(cpu_millis: i64, ports: &[u16]) -> Requirements {
    Requirements {
        cpu_millis,
        memory: 1 << 20,
        ports: ports.iter().map(|port| (*port, "tcp".to_owned())).collect(),
        ..Requirements::default()
    }
}

/// A host, adopted with a profile of its own.
pub(crate) async fn host(yard: &Yard, name: &str) -> NodeId {
    let own = profile(name, None);
    let node = NewNode {
        profile_id: own.id,
        ..new_node(yard, name)
    };
    let adoption = Adoption {
        physical_id: format!("tcp://{name}"),
        place: None,
        info: Some(HostInfo {
            cpus: 4,
            memory: 1 << 30,
            ..HostInfo::default()
        }),
    };
    let unkept = |_: &_| Stored {
        status: 201,
        location: None,
        body: json!(null),
    };
    let keep = Keep::new(None, &unkept);
    let mut conn = yard.db.db.session();
    let made = nodes::adopt(&mut conn, &own, &node, &adoption, 100, &keep)
        .await
        .unwrap();
    let made = made.unwrap();
    assert_eq!((made.id, made.status), (node.id, NodeStatus::Active));
    assert_eq!(made.physical_id, Some(adoption.physical_id));
    assert!(made.created_at.is_some());
    made.id
}

/// A node on a host, ACTIVE, and a check of it that is claimed.
pub(crate) async fn placed(yard: &Yard, host: NodeId, needs: &Requirements) -> (NodeId, Action) {
    let node = yard.node("p", None, -1).await;
    let mut conn = yard.db.db.session();
    placement::occupy(&mut conn, node, &Place::on(host, needs))
        .await
        .unwrap();
    yard.check_orphan("p", node).await;
    (node, yard.claim_nodes(1).await.remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_read_with_what_belongs_to_it() {
    let yard = Yard::new().await;
    let host = host(&yard, "h").await;
    let mut conn = yard.db.db.session();
    let naming = profile("naming", Some(host));
    profiles::insert(&mut conn, &naming).await.unwrap();
    let (node, action) = placed(&yard, host, &needs(100, &[80])).await;
    let fence = Fence::of(&action).unwrap();
    let more = needs(200, &[80, 81]);
    let begun = attempts::begin(&mut conn, fence, node, host, naming.id, &more, |_| Ok::<_, ()>(())).await;
    let begun = begun.unwrap().unwrap();

    let there = nodes::get(&mut conn, host).await.unwrap().unwrap();
    assert_eq!(there.dependent_nodes, [node]);
    assert_eq!(there.dependent_profiles, [naming.id]);
    assert_eq!((there.profile_name.as_str(), there.attempt), ("h", None));
    assert_eq!(there.metadata.get("a"), Some(&json!(1)));
    let mine = nodes::get(&mut conn, node).await.unwrap().unwrap();
    assert_eq!((mine.generation, mine.generations), (1, 2));
    assert_eq!((mine.attempt, mine.host_id), (Some(begun), Some(host)));
    assert_eq!(nodes::containers_on(&mut conn, &[host]).await.unwrap(), [mine.name]);

    let nobody = NodeId::random();
    let found = nodes::get_all(&mut conn, &[node, nobody, host]).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|n| n.map(|n| n.id)).collect();
    assert_eq!(found, [Some(node), None, Some(host)]);
    let scope = Scope::Project("p".to_owned());
    let named = nodes::find(&mut conn, &scope, "h").await.unwrap();
    assert_eq!(named.map(|n| n.id), Some(host));
    let another = Scope::Project("p2".to_owned());
    assert!(nodes::find(&mut conn, &another, "h").await.unwrap().is_none());
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_listed_and_found_together() {
    let yard = Yard::new().await;
    let herd = yard.cluster("p", 3).await;
    yard.node("p2", None, 7).await;
    let mut conn = yard.db.db.session();
    let by_index = nodes::members(&mut conn, herd.id).await.unwrap();
    assert_eq!(by_index.iter().map(|n| n.id).collect::<Vec<_>>(), herd.nodes);

    let scope = Scope::Project("p".to_owned());
    let filters = [Filter {
        column: "cluster_id",
        values: vec![herd.id.to_string()],
    }];
    let page = Page {
        limit: Some(1),
        marker: Some(herd.nodes[2].0),
        sort: vec![("name", Direction::Desc)],
    };
    let second = nodes::list(&mut conn, &scope, &filters, &page).await.unwrap();
    assert_eq!(second.iter().map(|n| n.id).collect::<Vec<_>>(), [herd.nodes[1]]);
    let all = nodes::list(&mut conn, &Scope::All, &[], &Page::default())
        .await
        .unwrap();
    assert_eq!(all.len(), 4);

    // Two are called so: none is meant.
    let rename = format!("UPDATE nodes SET name = 'n0' WHERE id = '{}'", herd.nodes[1]);
    yard.db.execute(&rename).await.unwrap();
    let short = herd.nodes[1].to_string().split_at(13).0.to_owned();
    let asked = ["n2", "n0", "nobody", &short].map(str::to_owned);
    let found = nodes::find_all(&mut conn, &scope, &asked).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|n| n.map(|n| n.id)).collect();
    assert_eq!(found, [Some(herd.nodes[2]), None, None, Some(herd.nodes[1])]);
    let found = nodes::find_all(&mut conn, &Scope::All, &["n7".to_owned()]).await;
    assert!(found.unwrap()[0].is_some());
    let found = nodes::find_all(&mut conn, &scope, &["n7".to_owned()]).await;
    assert!(found.unwrap()[0].is_none());
    yard.db.close().await.unwrap();
}

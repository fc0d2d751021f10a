//! What is read and written of single resources.

use senlin_core::{caller::Scope, ids::*};
use senlin_db::{
    clusters, events, node_self,
    page::{Direction, Filter, Page},
    policies,
    profiles::{self, NewProfile},
    receivers::{self, Change},
    services, targets, whereabouts,
};
use senlin_testkit::records;
use serde_json::json;

use crate::{statements_a::receiver, yard::Yard};

fn profile(host_cluster: Option<ClusterId>) -> NewProfile {
    NewProfile {
        spec: json!({"type": "t", "version": "1.0", "properties": {}}),
        host_cluster,
        ..records::profile("p", "dependent")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_tells_what_is_of_it() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let (herd, other) = (yard.cluster("p", 3).await, yard.cluster("p", 1).await);
    let policy = records::policy("p", "x");
    policies::insert(&mut conn, &policy).await.unwrap();
    let binding = BindingId::random();
    yard.db
        .execute(&format!(
            "INSERT INTO cluster_policies (id, cluster_id, policy_id, priority)
            VALUES ('{binding}', '{}', '{}', 1)",
            herd.id, policy.id
        ))
        .await
        .unwrap();
    let mut dependents = Vec::new();
    for of in [Some(herd.id), Some(herd.id), Some(other.id), None] {
        let new = profile(of);
        profiles::insert(&mut conn, &new).await.unwrap();
        assert_eq!(profiles::hosts(&mut conn, new.id).await.unwrap(), (None, of));
        dependents.extend((of == Some(herd.id)).then_some(new.id));
    }
    dependents.sort_unstable();

    let found = clusters::get(&mut conn, herd.id).await.unwrap().unwrap();
    assert_eq!(found.nodes, herd.nodes);
    assert_eq!(found.policies, [binding]);
    assert_eq!(found.dependent_profiles, dependents);
    assert_eq!((&*found.profile_name, &*found.profile_type), ("p", "t-1.0"));
    let found = clusters::get(&mut conn, other.id).await.unwrap().unwrap();
    assert_eq!((found.nodes, found.policies), (other.nodes, vec![]));
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_are_listed_by_pages_and_shared_by_projects() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(yard.cluster("p", 0).await.id);
    }
    yard.cluster("another", 0).await;
    let scope = Scope::Project("p".to_owned());
    for sort in [
        vec![],
        vec![("init_at", Direction::Desc)],
        vec![("created_at", Direction::Asc), ("init_at", Direction::Desc)],
    ] {
        let backwards = !sort.is_empty();
        let mut page = Page {
            limit: Some(2),
            marker: None,
            sort,
        };
        let mut seen = Vec::new();
        loop {
            let part = clusters::list(&mut conn, &scope, &[], &page).await.unwrap();
            let Some(last) = part.last() else { break };
            page.marker = Some(last.id.0);
            seen.extend(part.into_iter().map(|c| c.id));
        }
        if backwards {
            seen.reverse();
        }
        assert_eq!(seen, ids);
    }
    let of_status = |status: &str| Filter {
        column: "status",
        values: vec![status.to_owned()],
    };
    for (status, many) in [("ACTIVE", 3), ("ERROR", 0)] {
        let filters = [of_status(status)];
        let all = clusters::list(&mut conn, &scope, &filters, &Page::default())
            .await
            .unwrap();
        assert_eq!(all.len(), many);
    }

    let short = &ids[0].to_string()[..13];
    assert!(clusters::find(&mut conn, &scope, short).await.unwrap().is_some());
    assert!(
        clusters::find(&mut conn, &scope, "c").await.is_err(),
        "there are three of that name"
    );
    assert!(
        clusters::find_shared(&mut conn, "friend", short)
            .await
            .unwrap()
            .is_none()
    );
    for projects in [vec!["friend".to_owned()], vec!["*".to_owned()]] {
        clusters::share(&mut conn, ids[0], &projects).await.unwrap();
        let shared = clusters::find_shared(&mut conn, "friend", short)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(shared.shared_with, projects);
    }
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_leaves_what_it_does_not_name() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let new = profile(None);
    profiles::insert(&mut conn, &new).await.unwrap();
    let metadata = json!({"a": 1}).as_object().unwrap().clone();
    profiles::update(&mut conn, new.id, None, Some(&metadata))
        .await
        .unwrap();
    profiles::update(&mut conn, new.id, Some("b"), None).await.unwrap();
    let found = profiles::get(&mut conn, new.id).await.unwrap().unwrap();
    assert_eq!((&*found.name, &found.metadata), ("b", &metadata));
    assert!(found.updated_at.is_some());

    let herd = yard.cluster("p", 0).await;
    let made = receiver(&yard, Some(herd.id)).await;
    let change = Change {
        options: Some(metadata.clone()),
        ..Change::default()
    };
    receivers::update(&mut conn, made.id, &change).await.unwrap();
    let found = receivers::get(&mut conn, made.id).await.unwrap().unwrap();
    assert_eq!((&found.options, &found.params), (&metadata, &made.params));
    assert_eq!(
        (found.name, found.action, found.key),
        (made.name, made.action, made.key)
    );
    assert_eq!((found.cluster_id, found.expires_at), (Some(herd.id), None));
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_found_on_their_hosts() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let host = yard.node("hosts", None, -1).await;
    let machine = profile(None);
    profiles::insert(&mut conn, &machine).await.unwrap();
    let herd = yard.cluster("p", 2).await;
    let orphan = yard.node("p", None, 7).await;
    let unplaced = yard.node("p", None, 8).await;
    yard.db
        .execute(&format!(
            "INSERT INTO hosts (node_id, endpoint) VALUES ('{host}', 'e');
            UPDATE profiles SET spec = '{{\"properties\": {{\"zone\": \"z\", \"labels\": {{\"disk\": \"ssd\"}}}}}}'
                WHERE id = '{0}';
            UPDATE nodes SET name = 'machine', profile_id = '{0}' WHERE id = '{host}';
            UPDATE nodes SET host_id = '{host}' WHERE id IN ('{1}', '{2}', '{orphan}')",
            machine.id, herd.nodes[0], herd.nodes[1]
        ))
        .await
        .unwrap();
    let found = targets::of(&mut conn, "p").await.unwrap();
    assert_eq!(found.len(), 3, "one has no host");
    assert!(found.is_sorted_by_key(|t| t.id));
    assert!(found.iter().all(|t| t.host_id == host && t.host_name == "machine"));
    let of_cluster = found.iter().find(|t| t.id == herd.nodes[1]).unwrap();
    assert_eq!((of_cluster.index, &*of_cluster.name), (1, "n1"));
    assert_eq!(of_cluster.cluster, Some((herd.id, "c".to_owned())));
    assert_eq!(found.iter().find(|t| t.id == orphan).unwrap().cluster, None);

    let asked = [orphan, unplaced, herd.nodes[1], herd.nodes[0]];
    let found = whereabouts::of(&mut conn, &asked).await.unwrap();
    assert_eq!(found.len(), 1, "each host once");
    assert_eq!((&*found[0].name, found[0].host), ("n0", host));
    assert_eq!((&*found[0].host_name, found[0].cluster_id), ("machine", None));
    let labels: Vec<_> = found[0].labels.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(labels, [("disk", "ssd"), ("zone", "z")]);
    assert!(whereabouts::of(&mut conn, &[unplaced]).await.unwrap().is_empty());
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_protects_itself_and_reports() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let node = yard.node("p", None, -1).await;
    assert_eq!(node_self::protected_until(&mut conn, node).await.unwrap(), None);
    let until = node_self::protect(&mut conn, node, 3600.0).await.unwrap().unwrap();
    assert_eq!(node_self::protected_until(&mut conn, node).await.unwrap(), Some(until));
    let in_time = "SELECT count(*) FROM nodes WHERE protected_until BETWEEN now() + interval '59 minutes'
        AND now() + interval '1 hour'";
    assert_eq!(yard.db.count(in_time).await.unwrap(), 1);
    yard.db
        .execute("UPDATE nodes SET protected_until = now() - interval '1 second'")
        .await
        .unwrap();
    assert_eq!(
        node_self::protected_until(&mut conn, node).await.unwrap(),
        None,
        "it is over"
    );
    assert_eq!(node_self::protect(&mut conn, node, 0.0).await.unwrap(), None);
    let never = "SELECT count(*) FROM nodes WHERE protected_until IS NULL";
    assert_eq!(yard.db.count(never).await.unwrap(), 1);

    node_self::report(&mut conn, node, "WARN", "It is hot.").await.unwrap();
    let scope = Scope::Project("p".to_owned());
    let told = events::list(&mut conn, &scope, &[], &Page::default()).await.unwrap();
    let event = told.last().unwrap();
    assert_eq!((event.oid, &*event.oname, &*event.otype), (node.0, "n-1", "NODE"));
    assert_eq!((&*event.level, &*event.status_reason), ("WARN", "It is hot."));
    assert_eq!((&*event.action, &*event.status), ("NODE_REPORT", "reported"));
    let short = &event.id.to_string()[..13];
    assert_eq!(
        events::find(&mut conn, &scope, short).await.unwrap().unwrap().id,
        event.id
    );
    let theirs = Scope::Project("another".to_owned());
    assert!(events::find(&mut conn, &theirs, short).await.unwrap().is_none());
    yard.db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_process_is_down_and_then_forgotten() {
    let yard = Yard::new().await;
    let mut conn = yard.db.db.session();
    let (silent, busy) = (ServiceId::random(), ServiceId::random());
    for id in [silent, busy] {
        services::register(&mut conn, id, "h", "senlin-api", "t").await.unwrap();
    }
    yard.db
        .execute("UPDATE services SET updated_at = now() - interval '90 seconds'")
        .await
        .unwrap();
    services::register(&mut conn, busy, "h", "senlin-api", "t")
        .await
        .unwrap();
    let listed = services::list(&mut conn, 60.0).await.unwrap();
    let up: Vec<_> = listed.iter().filter(|s| s.up).map(|s| s.id).collect();
    assert_eq!((listed.len(), up), (2, vec![busy]));
    assert_eq!(services::forget_silent(&mut conn, 100.0).await.unwrap(), 0);
    assert_eq!(services::forget_silent(&mut conn, 80.5).await.unwrap(), 1);
    services::unregister(&mut conn, busy).await.unwrap();
    assert!(services::list(&mut conn, 60.0).await.unwrap().is_empty());
    yard.db.close().await.unwrap();
}

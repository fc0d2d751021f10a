//! Lists over what has ended, and events in the order of commits.

use serde_json::Value;

use crate::Server;

fn ids(list: &Value) -> Vec<String> {
    let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_ended_actions_are_listed_and_shown_as_before() {
    let server = Server::start().await;
    server
        .db
        .execute(
            "INSERT INTO actions (id, name, action, target, cause, lock_scope, status, timeout, user_id, project,
                created_at, ended_at)
            SELECT gen_random_uuid(), 'a' || i, 'NODE_CHECK', gen_random_uuid(), 'RPC Request', 'NODE', 'SUCCEEDED', 60,
                'u', CASE i WHEN 9 THEN 'p2' ELSE 'p1' END, now() - make_interval(hours => i),
                now() - make_interval(hours => i)
            FROM generate_series(1, 9) i",
        )
        .await
        .unwrap();
    let paths = [
        "/v1/actions",
        "/v1/actions?sort=created_at:desc",
        "/v1/actions?sort=name:desc,created_at&limit=4",
        "/v1/actions?status=SUCCEEDED&name=a3&name=a4",
        "/v1/actions/a5",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(server.member("GET", path, None).await.body);
    }
    assert_eq!(before[0]["actions"].as_array().unwrap().len(), 8);
    let mut conn = server.db.db.session();
    let moved = senlin_db::history::move_ended(&mut conn, 60.0, 30, 6).await.unwrap();
    assert_eq!(moved, Some(6));
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(server.member("GET", path, None).await.body, before, "{path}");
    }
    // One that has ended is not cancelled, wherever it is.
    let cancel = serde_json::json!({"action": {"status": "CANCELLED"}});
    assert_eq!(server.member("PATCH", "/v1/actions/a8", Some(cancel)).await.status, 409);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_events_are_read_on_from_a_place() {
    let server = Server::start().await;
    let write = async |project: &str, name: &str| {
        let event = format!(
            "INSERT INTO events (oid, oname, otype, level, user_id, project, action, status)
            VALUES (gen_random_uuid(), '{name}', 'NODE', 'INFO', 'u', '{project}', 'NODE_CHECK', 'start')"
        );
        server.db.execute(&event).await.unwrap();
    };
    for (project, name) in [("p1", "a"), ("p2", "b"), ("p1", "c"), ("p1", "d")] {
        write(project, name).await;
    }
    let at_1_15 = async |path: &str| server.call("member", "1.15", "GET", path, None).await;
    // Transactions of other databases delay what is settled.
    let mut first = at_1_15("/v1/events?since=&limit=2").await;
    while ids(&first.body["events"]).len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        first = at_1_15("/v1/events?since=&limit=2").await;
    }
    let mut names: Vec<String> = Vec::new();
    let mut answer = first;
    while names.len() < 3 {
        for event in answer.body["events"].as_array().unwrap() {
            names.push(event["oname"].as_str().unwrap().to_owned());
        }
        let next = answer.text("/next");
        answer = at_1_15(&format!("/v1/events?since={next}&limit=2")).await;
    }
    assert_eq!(names, ["a", "c", "d"]);
    let next = answer.text("/next");
    for (version, path, status) in [
        ("1.14", format!("/v1/events?since={next}"), 400),
        ("1.15", "/v1/events?since=junk".to_owned(), 400),
        ("1.15", "/v1/events?since=7fffffffffffffff-0".to_owned(), 400),
        ("1.15", format!("/v1/events?since={next}&sort=timestamp"), 400),
        (
            "1.15",
            format!("/v1/events?since={next}&level=INFO&cluster_id=nothing"),
            200,
        ),
    ] {
        let got = server.call("member", version, "GET", &path, None).await;
        assert_eq!(got.status, status, "{version} {path}: {}", got.body);
    }
    let listed = server.member("GET", "/v1/events", None).await;
    assert_eq!(listed.body.get("next"), None, "lists are as they were");
    server.close().await;
}

//! What is on hosts and not in the record, as after the restoring of a backup:
//! listed, taken back, or removed.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, ensure};
use senlin_runtime::secrets;
use serde_json::{Value, json};

use crate::{client::Client, standalone::token_file, tools::say};

/// What `senlin reconcile` can be told.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["list", "take_back", "remove"])))]
pub(crate) struct Args {
    /// List the containers that the record does not account for.
    #[arg(long)]
    list: bool,
    /// Give this container (its id, or its id in the list) to its node again. If the node has another one by now,
    /// that one is removed, and --confirm is needed.
    #[arg(long, value_name = "ID")]
    take_back: Option<String>,
    /// Remove this container from its host, with what it holds.
    #[arg(long, value_name = "ID", requires = "confirm")]
    remove: Option<String>,
    /// A container is really to be removed.
    #[arg(long)]
    confirm: bool,
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:8777")]
    listen: SocketAddr,
    /// A file that holds an admin's token.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// The data folder of `senlin standalone`, whose token is used if no other is named.
    #[arg(long, default_value = "/var/lib/senlin")]
    data: PathBuf,
}

const PATH: &str = "/v1/unaccounted-containers";

/// Rows asked for at once.
const PAGE: usize = 100;

/// Does it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let file = args.token_file.unwrap_or_else(|| token_file(&args.data));
    let token = secrets::read(&file).with_context(|| format!("read the token in '{}'", file.display()))?;
    let client = Client::new(args.listen, token);
    match (args.take_back, args.remove) {
        (Some(id), _) => {
            let taken = settle(
                &client,
                &id,
                json!({"take_back": if args.confirm { json!({"confirm": true}) } else { json!({}) }}),
            )
            .await?;
            let (node, status) = (text(&taken, "/node/id"), text(&taken, "/node/status"));
            say(&format!(
                "Container '{id}' is node '{node}' ({status}) again; check the node."
            ));
        }
        (None, Some(id)) => {
            ensure!(args.confirm, "--remove needs --confirm");
            settle(&client, &id, json!({"remove": {"confirm": true}})).await?;
            say(&format!("Container '{id}' is removed at its host's next heartbeat."));
        }
        (None, None) => list(&client).await?,
    }
    Ok(())
}

async fn settle(client: &Client, id: &str, body: Value) -> anyhow::Result<Value> {
    ensure!(
        id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
        "'{id}' is not a container's id"
    );
    client.post(&format!("{PATH}/{id}/actions"), &body).await
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let (mut marker, mut count) = (String::new(), 0);
    loop {
        let page = client.get(&format!("{PATH}?limit={PAGE}{marker}")).await?;
        let rows = page
            .get("unaccounted_containers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for row in &rows {
            let container = text(row, "/container");
            let state = if row.get("running") == Some(&Value::Bool(true)) {
                "running"
            } else {
                "stopped"
            };
            let asked = if row.get("remove_asked_at").is_some_and(|v| !v.is_null()) {
                " To be removed."
            } else {
                ""
            };
            say(&format!(
                "{}  {} on {}, project {}, {state}: {}{asked}",
                container.get(..12).unwrap_or(&container),
                text(row, "/name"),
                text(row, "/host_name"),
                text(row, "/project"),
                text(row, "/reason")
            ));
            say(&format!("    {}", text(row, "/id")));
        }
        count += rows.len();
        match rows.last().filter(|_| rows.len() == PAGE) {
            Some(last) => marker = format!("&marker={}", text(last, "/id")),
            None => break,
        }
    }
    say(&format!("{count} containers that the record does not account for."));
    Ok(())
}

/// A field as text; what a host told may hold control characters.
fn text(value: &Value, path: &str) -> String {
    let text = match value.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).collect()
}

//! Many bindings are made due again at once, each at its own time.

use senlin_core::{Time, ids::*};
use serde_json::{Value, json};

use crate::{Conn, Result, run::Run, sql::Sql};

/// Each of these bindings is due again then.
pub(crate) async fn reschedule_bindings(conn: &mut Conn, bindings: &[(BindingId, Time)]) -> Result<()> {
    let rows = bindings.iter().map(|(id, due)| json!({"id": id, "due": due}));
    Sql::new(
        "UPDATE cluster_policies b SET due_at = r.due
        FROM jsonb_to_recordset(:rows) AS r(id uuid, due timestamptz) WHERE b.id = r.id",
    )
    .set("rows", Value::Array(rows.collect()))
    .run(conn)
    .await?;
    Ok(())
}

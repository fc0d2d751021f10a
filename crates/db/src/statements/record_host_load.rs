//! A host's measure takes the place of its last one. A host that is on its way
//! out is not waited for, and gets none.

use senlin_core::ids::*;

use crate::{Conn, Result, loads::HostLoad, run::Run, sql::Sql};

/// Records a host's measure.
pub(crate) async fn record_host_load(conn: &mut Conn, host: NodeId, load: &HostLoad) -> Result<()> {
    Sql::new(
        "INSERT INTO host_loads (host_id, measured_at, cpu, memory, source, sample)
        -- A host that goes meanwhile is not to be referred to.
        SELECT h.node_id, :measured_at, :cpu, :memory, :source, :sample FROM hosts h JOIN nodes n ON n.id = h.node_id
        WHERE h.node_id = :host FOR KEY SHARE OF n SKIP LOCKED
        ON CONFLICT (host_id) DO UPDATE SET measured_at = excluded.measured_at, cpu = excluded.cpu,
            memory = excluded.memory, source = excluded.source, sample = excluded.sample",
    )
    .set("measured_at", load.measured_at)
    .set("cpu", load.cpu)
    .set("memory", load.memory)
    .set("source", load.source.as_str())
    .set("sample", load.sample.clone())
    .set("host", host)
    .run(conn)
    .await?;
    Ok(())
}

//! Removes a receiver and what came in through it together: no foreign key of
//! the partitioned deliveries does.

use senlin_core::ids::ReceiverId;

use crate::{Conn, Result, run::Run, sql::Sql};

/// Removes the receiver with that id, if there is one.
pub(crate) async fn delete_receiver(conn: &mut Conn, receiver: ReceiverId) -> Result<()> {
    Sql::new(
        "WITH came AS (DELETE FROM deliveries WHERE receiver_id = :receiver)
        DELETE FROM receivers WHERE id = :receiver",
    )
    .set("receiver", receiver)
    .run(conn)
    .await?;
    Ok(())
}

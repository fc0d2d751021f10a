//! Locks an action and its descendants in the order of their ids, which is
//! everybody's: until the transaction ends, nobody claims or ends one of them.

use senlin_core::ids::ActionId;

use crate::{Conn, Result, queue::end, run::Run, sql::Sql};

/// Returns how many it locked.
pub(crate) async fn lock_tree(conn: &mut Conn, root: ActionId) -> Result<usize> {
    Sql::new("WITH RECURSIVE tree AS (SELECT id FROM actions WHERE id = :root")
        .push(end::DESCENDANTS)
        .push(" SELECT a.id FROM actions a WHERE a.id IN (SELECT id FROM tree) ORDER BY a.id FOR UPDATE")
        .set("root", root)
        .run(conn)
        .await
}

//! What workers of node actions read and write, each together with what others
//! do at the same moment.

use senlin_core::{ids::*, node::Node};
use senlin_db::{
    Db, Result,
    fence::{self, Mark, NodeEnd},
    nodes,
};

use super::together::{Call, Together};

/// What waits to be done for many at once.
#[derive(Default)]
pub(crate) struct Many {
    pub(crate) nodes: Together<NodeId>,
    pub(crate) marks: Together<Mark>,
    pub(crate) ends: Together<NodeEnd>,
}

impl Call for NodeId {
    type Answer = Option<Node>;

    async fn alone(&self, db: &Db) -> Result<Option<Node>> {
        nodes::get(&mut db.session(), *self).await
    }

    async fn all(db: &Db, ids: &[Self]) -> Result<Vec<Option<Option<Node>>>> {
        let found = nodes::get_all(&mut db.session(), ids).await?;
        Ok(found.into_iter().map(Some).collect())
    }
}

impl Call for Mark {
    type Answer = ();

    async fn alone(&self, db: &Db) -> Result<()> {
        fence::node_status(&mut db.session(), self).await
    }

    async fn all(db: &Db, marks: &[Self]) -> Result<Vec<Option<()>>> {
        let marked = fence::node_statuses(&mut db.session(), marks).await?;
        Ok(marked.into_iter().map(|done| done.then_some(())).collect())
    }
}

impl Call for NodeEnd {
    type Answer = Vec<ActionId>;

    async fn alone(&self, db: &Db) -> Result<Vec<ActionId>> {
        fence::finish(&mut db.session(), self.fence, &self.end, Some(&self.change)).await
    }

    async fn all(db: &Db, ends: &[Self]) -> Result<Vec<Option<Vec<ActionId>>>> {
        fence::finish_nodes(&mut db.session(), ends).await
    }
}

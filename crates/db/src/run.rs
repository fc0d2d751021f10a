//! How a query of diesel's runs on a [`Conn`], and how long it takes.
//!
//! Every operation has a name: the file that it stands in. Nobody has to give
//! it, so nobody forgets to.

use std::{future::Future, panic::Location, path::Path, time::Duration};

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AsQuery, AstPass, Query, QueryFragment, QueryId},
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl,
    methods::{ExecuteDsl, LoadQuery},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{Conn, Result, pool::bounded};

/// Runs a query: one connection from the pool, or the transaction's; one bound.
pub(crate) trait Run: Sized + Send {
    /// Every row.
    #[track_caller]
    fn fetch_all<'q, R>(self, conn: &mut Conn) -> impl Future<Output = Result<Vec<R>>> + Send
    where
        R: Send,
        Self: AsQuery<Query: Send>,
        Kept<Self::Query>: LoadQuery<'q, AsyncPgConnection, R> + 'q,
    {
        let of = Operation::at(Location::caller());
        let query = Kept(self.as_query());
        async move {
            let mut lease = conn.lease(of).await?;
            let done = bounded(RunQueryDsl::load(query, lease.connection())).await;
            lease.end(done)
        }
    }

    /// The first row, if any. It reads all of them: ask for one.
    #[track_caller]
    fn fetch_optional<'q, R>(self, conn: &mut Conn) -> impl Future<Output = Result<Option<R>>> + Send
    where
        R: Send,
        Self: AsQuery<Query: Send>,
        Kept<Self::Query>: LoadQuery<'q, AsyncPgConnection, R> + 'q,
    {
        let all = self.fetch_all(conn);
        async move { Ok(all.await?.into_iter().next()) }
    }

    /// How many rows it touched.
    #[track_caller]
    fn run(self, conn: &mut Conn) -> impl Future<Output = Result<usize>> + Send
    where
        Kept<Self>: ExecuteDsl<AsyncPgConnection>,
    {
        let of = Operation::at(Location::caller());
        async move {
            let mut lease = conn.lease(of).await?;
            let done = bounded(RunQueryDsl::execute(Kept(self), lease.connection())).await;
            lease.end(done)
        }
    }
}

impl<Q: Send> Run for Q {}

/// A query that is kept as a prepared statement, by its text. Of its own accord
/// diesel prepares every update, every upsert and all that has text of ours
/// within it anew, which is a round trip more each time.
#[derive(Debug)]
pub(crate) struct Kept<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Kept<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Kept<Q> {
    type QueryId = ();
    // One type may have several texts.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Kept<Q> {
    type SqlType = Q::SqlType;
}

/// An operation's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Operation {
    operation: &'static str,
}

impl Operation {
    pub(crate) const TRANSACTION: Self = Self {
        operation: "transaction",
    };

    fn at(place: &'static Location<'static>) -> Self {
        let stem = Path::new(place.file()).file_stem().and_then(|s| s.to_str());
        Self {
            operation: stem.unwrap_or("?"),
        }
    }
}

/// What the database was asked, by operation.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    seconds: Family<Operation, Histogram, fn() -> Histogram>,
    errors: Family<Operation, Counter>,
}

impl Default for Stats {
    fn default() -> Self {
        let buckets = || Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 12.0]);
        Self {
            seconds: Family::new_with_constructor(buckets),
            errors: Family::default(),
        }
    }
}

impl Stats {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "senlin_db_operation_seconds",
            "How long the database took, by the file that asks",
            self.seconds.clone(),
        );
        registry.register(
            "senlin_db_operation_errors",
            "Operations that the database did not do",
            self.errors.clone(),
        );
    }

    pub(crate) fn record(&self, of: Operation, took: Duration, failed: bool) {
        self.seconds.get_or_create(&of).observe(took.as_secs_f64());
        if failed {
            self.errors.get_or_create(&of).inc();
        }
    }
}

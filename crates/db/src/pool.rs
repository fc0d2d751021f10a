//! Connections, and who may hold one.
//!
//! Nobody outside this crate holds a connection: a [`Conn`] takes one from the
//! pool for each statement, or for a transaction that begins and ends in here.
//! This crate does no other input or output, so no connection is ever held
//! while a host, a broker or another connection is waited for; a pool of one
//! serves every program.
//!
//! Everything is bounded: waiting for a connection, making one, each statement
//! (by the server, and by the client for a server that hangs), waiting for a
//! lock, and a transaction that its client forgot.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::QueryResult;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool::Object, deadpool::Pool,
    },
};
use prometheus_client::registry::Registry;
use senlin_core::secret::Secret;
use tokio::{runtime::Handle, time::error::Elapsed};

use crate::{
    DbError, Result, Servers,
    run::{Operation, Run, Stats},
    sql::Sql,
};

/// How long a caller waits for a connection.
const WAIT: Duration = Duration::from_secs(10);
/// How long a server may take to set up a connection that it has let in.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may work on a statement, its wait for locks included.
const STATEMENT: Duration = Duration::from_secs(10);
/// What the answer gets on top of that before the server counts as hanging.
const ANSWER: Duration = Duration::from_secs(2);

/// The longest that a claim takes from its beginning in the database until its
/// answer is there, or is given up: a transaction of three steps.
pub const LONGEST_CLAIM: Duration = STATEMENT.saturating_add(ANSWER).saturating_mul(3);

type Pooled = Object<AsyncPgConnection>;

/// The database. Clones share the pool.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    servers: Arc<Servers>,
    runtime: Handle,
    stats: Stats,
}

impl Db {
    /// A pool of at most `size` connections; none is opened yet.
    ///
    /// Must be called on the main (multi-thread) runtime: connections are
    /// driven by the runtime that opens them, and they must not die with one
    /// of the HTTP server's worker threads.
    ///
    /// # Errors
    /// When the URL cannot be understood, or the pool cannot be built.
    pub fn connect(url: &Secret, size: usize) -> Result<Self> {
        Self::on(
            Arc::new(Servers::parse(url)?),
            Handle::current(),
            Stats::default(),
            size,
        )
    }

    /// A pool of its own to the same database, for what must not wait for
    /// others' connections.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn apart(&self, size: usize) -> Result<Self> {
        Self::on(self.servers.clone(), self.runtime.clone(), self.stats.clone(), size)
    }

    fn on(servers: Arc<Servers>, runtime: Handle, stats: Stats, size: usize) -> Result<Self> {
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.recycling_method = RecyclingMethod::Fast;
        let (driver, asked) = (runtime.clone(), servers.clone());
        config.custom_setup = Box::new(move |_url| {
            let (runtime, servers) = (driver.clone(), asked.clone());
            Box::pin(async move {
                let task = runtime.spawn(async move { establish(&servers).await });
                task.await
                    .map_err(|e| diesel::ConnectionError::BadConnection(e.to_string()))?
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let pool = Pool::builder(manager)
            .max_size(size)
            .build()
            .map_err(|e| DbError::Unavailable(Box::new(e)))?;
        Ok(Self {
            pool,
            servers,
            runtime,
            stats,
        })
    }

    /// What statements run on. It holds no connection until one does.
    #[must_use]
    pub fn session(&self) -> Conn {
        Conn {
            db: self.clone(),
            transaction: None,
        }
    }

    /// Whether the database can be reached now.
    ///
    /// # Errors
    /// [`DbError::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        Sql::new("SELECT 1").run(&mut self.session()).await?;
        Ok(())
    }

    /// Puts what the database is asked among a program's metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.stats.register(registry);
    }

    async fn take(&self) -> Result<Pooled> {
        match tokio::time::timeout(WAIT, self.pool.get()).await {
            Ok(connection) => connection.map_err(|e| DbError::Unavailable(Box::new(e))),
            Err(elapsed) => Err(DbError::Unavailable(Box::new(elapsed))),
        }
    }

    /// Closes every connection.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A connection whose server gives up by itself: on a statement that takes too
/// long, and on a transaction whose client has been suspended.
async fn establish(servers: &Servers) -> diesel::ConnectionResult<AsyncPgConnection> {
    let bad = |why: String| diesel::ConnectionError::BadConnection(why);
    let mut connection = servers.connect().await.map_err(|e| bad(e.to_string()))?;
    let bound = STATEMENT.as_millis();
    // Pages of long lists are planned as if they were costly: compiling them costs more than they do.
    let set =
        format!("SET statement_timeout = {bound}; SET idle_in_transaction_session_timeout = {bound}; SET jit = off");
    match tokio::time::timeout(CONNECT, connection.batch_execute(&set)).await {
        Ok(done) => done.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?,
        Err(elapsed) => return Err(bad(elapsed.to_string())),
    }
    Ok(connection)
}

/// What statements run on: each takes a connection for itself, or is part of
/// the transaction under way.
pub struct Conn {
    db: Db,
    transaction: Option<Transaction>,
}

pub(crate) struct Transaction {
    connection: Pooled,
    /// A statement got no answer: what the server does with it is not known.
    lost: bool,
}

/// A closure of a transaction, with a future that may move between threads.
pub trait Work<T, R>: AsyncFnOnce(T) -> R + FnOnce(T) -> <Self as Work<T, R>>::Future {
    /// What it returns.
    type Future: Future<Output = R>;
}

impl<F, T, R, Returned> Work<T, R> for F
where
    F: AsyncFnOnce(T) -> R + FnOnce(T) -> Returned,
    Returned: Future<Output = R>,
{
    type Future = Returned;
}

impl Conn {
    /// The connection for one statement.
    pub(crate) async fn lease(&mut self, of: Operation) -> Result<Lease<'_>> {
        let holder = match &mut self.transaction {
            Some(transaction) => Holder::Part(transaction),
            None => Holder::Own(Box::new(self.db.take().await?)),
        };
        Ok(Lease {
            holder,
            of,
            since: Instant::now(),
            stats: &self.db.stats,
        })
    }

    /// Runs `work` in a transaction; within one, in a savepoint. An error rolls
    /// it back.
    ///
    /// # Errors
    /// Those of `work`; [`DbError::Unavailable`] when the server does not answer.
    pub(crate) async fn transaction<T, F>(&mut self, work: F) -> Result<T>
    where
        F: for<'c> Work<&'c mut Conn, Result<T>, Future: Send> + Send,
        T: Send,
    {
        let outermost = self.transaction.is_none();
        if outermost {
            let connection = self.db.take().await?;
            self.transaction = Some(Transaction {
                connection,
                lost: false,
            });
        }
        let mut done = match self.step(Step::Begin).await {
            Ok(()) => work(self).await,
            Err(error) => Err(error),
        };
        let lost = self.transaction.as_ref().is_none_or(|t| t.lost);
        if !lost {
            let step = if done.is_ok() { Step::Commit } else { Step::Rollback };
            if let Err(error) = self.step(step).await
                && done.is_ok()
            {
                done = Err(error);
            }
        }
        if outermost
            && let Some(transaction) = self.transaction.take()
            && (transaction.lost || done.as_ref().is_err_and(DbError::is_connection_lost))
        {
            // Not given back: the server may still be at it.
            drop(Object::take(transaction.connection));
        }
        done
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        let mut lease = self.lease(Operation::TRANSACTION).await?;
        let connection = lease.connection();
        let run = async {
            match step {
                Step::Begin => AnsiTransactionManager::begin_transaction(connection).await,
                Step::Commit => AnsiTransactionManager::commit_transaction(connection).await,
                Step::Rollback => AnsiTransactionManager::rollback_transaction(connection).await,
            }
        };
        let done = bounded(run).await;
        lease.end(done)
    }
}

enum Step {
    Begin,
    Commit,
    Rollback,
}

/// Waits for an answer of the server, for as long as it may take.
pub(crate) async fn bounded<T>(
    work: impl Future<Output = QueryResult<T>>,
) -> std::result::Result<QueryResult<T>, Elapsed> {
    tokio::time::timeout(STATEMENT + ANSWER, work).await
}

/// The connection of one statement.
pub(crate) struct Lease<'a> {
    holder: Holder<'a>,
    of: Operation,
    since: Instant,
    stats: &'a Stats,
}

enum Holder<'a> {
    /// Goes back to the pool.
    Own(Box<Pooled>),
    /// The transaction's.
    Part(&'a mut Transaction),
}

impl Lease<'_> {
    pub(crate) fn connection(&mut self) -> &mut AsyncPgConnection {
        match &mut self.holder {
            Holder::Own(connection) => connection,
            Holder::Part(transaction) => &mut transaction.connection,
        }
    }

    /// Judges the outcome of [`bounded`]. A connection that is still waiting
    /// for its answer is of no use to anybody else.
    pub(crate) fn end<T>(self, done: std::result::Result<QueryResult<T>, Elapsed>) -> Result<T> {
        let done = match done {
            Ok(done) => done.map_err(DbError::Query),
            Err(elapsed) => Err(DbError::Unavailable(Box::new(elapsed))),
        };
        self.stats.record(self.of, self.since.elapsed(), done.is_err());
        if done.as_ref().is_err_and(DbError::is_connection_lost) {
            match self.holder {
                Holder::Own(connection) => drop(Object::take(*connection)),
                Holder::Part(transaction) => transaction.lost = true,
            }
        }
        done
    }
}

//! Connections.

use std::{sync::Arc, time::Duration};

use diesel_async::{
    AsyncPgConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool::Object, deadpool::Pool,
    },
};
use senlin_core::secret::Secret;
use tokio::runtime::Handle;

use crate::{DbError, Result, Servers};

/// How long a caller waits for a connection.
const WAIT: Duration = Duration::from_secs(10);

/// One connection.
pub type Conn = AsyncPgConnection;

/// The pool. Clones share it.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
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
        let servers = Arc::new(Servers::parse(url)?);
        let runtime = Handle::current();
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_url| {
            let (runtime, servers) = (runtime.clone(), servers.clone());
            Box::pin(async move {
                let bad = |e: String| diesel::ConnectionError::BadConnection(e);
                let task = runtime.spawn(async move { servers.connect().await });
                task.await
                    .map_err(|e| bad(e.to_string()))?
                    .map_err(|e| bad(e.to_string()))
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(url.expose(), config);
        let pool = Pool::builder(manager)
            .max_size(size)
            .build()
            .map_err(|e| DbError::Unavailable(Box::new(e)))?;
        Ok(Self { pool })
    }

    /// A connection, waited for at most ten seconds.
    ///
    /// # Errors
    /// [`DbError::Unavailable`].
    pub async fn get(&self) -> Result<Object<AsyncPgConnection>> {
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

//! A TCP proxy whose server can be made to hang: connections stay open and
//! nothing comes through, as with a process that was stopped or a cable that
//! was cut.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinHandle,
};

/// A proxy on loopback; ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    frozen: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `server` (`host:port`).
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (frozen, watching) = watch::channel(false);
        let server = server.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, watching) = (server.clone(), watching.clone());
                tokio::spawn(async move {
                    let Ok(upstream) = TcpStream::connect(&server).await else {
                        return;
                    };
                    let (client_in, client_out) = client.into_split();
                    let (server_in, server_out) = upstream.into_split();
                    tokio::spawn(pass(client_in, server_out, watching.clone()));
                    pass(server_in, client_out, watching).await;
                });
            }
        });
        Ok(Self {
            address,
            frozen,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through until [`Self::thaw`].
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Lets through what waits, and what comes.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut frozen: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n) = from.read(&mut buffer).await {
        if n == 0 || frozen.wait_for(|f| !f).await.is_err() {
            return;
        }
        let Some(bytes) = buffer.get(..n) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

//! A door before a service, for tests of what hangs: it can be shut while
//! connections stay open, as with a frozen server or a network that drops
//! everything.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A door before a service. It is gone with this.
pub struct Gate {
    /// `127.0.0.1:port`.
    pub address: String,
    open: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
    present: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// An open door on `at` (`127.0.0.1:0` is any port) to `host:port`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn before(service: &str, at: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?.to_string();
        let (open, _) = watch::channel(true);
        let (accepted, present) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (service, watched) = (service.to_owned(), open.clone());
        let (all, now) = (accepted.clone(), present.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                all.fetch_add(1, Ordering::SeqCst);
                now.fetch_add(1, Ordering::SeqCst);
                let (service, now) = (service.clone(), now.clone());
                let (there, back) = (watched.subscribe(), watched.subscribe());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(&service).await {
                        let (from, to) = (client.into_split(), server.into_split());
                        tokio::select! {
                            () = pass(from.0, to.1, there) => {}
                            () = pass(to.0, from.1, back) => {}
                        }
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self {
            address,
            open,
            accepted,
            present,
            task,
        })
    }

    /// Nothing passes from now on, and nobody is told.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    /// What waited passes, and everything after it.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that the client has not closed.
    #[must_use]
    pub fn present(&self) -> usize {
        self.present.load(Ordering::SeqCst)
    }
}

/// Copies until either side ends. The end of the client is seen also while
/// the door is shut: its bytes are read, and kept.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut open: watch::Receiver<bool>) {
    let (mut kept, mut buffer) = (Vec::new(), vec![0_u8; 16 << 10]);
    loop {
        let shut = !*open.borrow_and_update();
        if !shut && !kept.is_empty() {
            if to.write_all(&kept).await.is_err() {
                return;
            }
            kept.clear();
        }
        tokio::select! {
            read = from.read(&mut buffer), if kept.len() < 1 << 20 => match read {
                Ok(n) if n > 0 => kept.extend(buffer.iter().take(n)),
                _ => return,
            },
            changed = open.changed() => if changed.is_err() { return },
        }
    }
}

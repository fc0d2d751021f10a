//! What stands between an engine and a host's port and can misbehave as a
//! daemon does: answer 500, answer after the effect was lost, talk nonsense,
//! or crawl.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How a daemon behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Fine,
    /// Answers 500 and does nothing.
    Refuses,
    /// Does what it is asked, and answers 500.
    Forgets,
    /// Answers what is no HTTP, or no JSON.
    Babbles,
    /// Some hundred bytes a second in both directions.
    Crawls,
}

/// A port that leads to another one.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    manner: watch::Sender<Manner>,
    listener: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Proxy {
    /// Listens on a free port of this machine and leads to `upstream`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (manner, watched) = watch::channel(Manner::Fine);
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream, watched.clone()));
            }
        });
        Ok(Self { port, manner, listener })
    }

    /// From now on it behaves so, also on connections that are open.
    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }
}

const REFUSAL: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
    Content-Length: 42\r\nConnection: close\r\n\r\n{\"message\":\"the daemon has lost its mind\"}";
const NO_JSON: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\
    Connection: close\r\n\r\n{\"Id\": [\"\\u0000\xff";
const NO_HTTP: &[u8] = b"\x16\x03\x01\x00\xff\x00garbage\r\n\r\n\x00\x00\x00";

/// One connection, until either side ends it or it was answered badly.
async fn serve(mut client: TcpStream, upstream: SocketAddr, manner: watch::Receiver<Manner>) {
    let connect = tokio::time::timeout(Duration::from_secs(130), TcpStream::connect(upstream));
    let Ok(Ok(mut host)) = connect.await else { return };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let done = tokio::select! {
            n = client.read(&mut asked) => {
                let Some(data) = taken(&asked, n) else { return };
                let now = *manner.borrow();
                match now {
                    Manner::Fine | Manner::Forgets => host.write_all(data).await,
                    Manner::Crawls => crawl(&mut host, data, &manner).await,
                    Manner::Refuses => return last(client, REFUSAL).await,
                    Manner::Babbles => return last(client, nonsense(data)).await,
                }
            }
            n = host.read(&mut answered) => {
                let Some(data) = taken(&answered, n) else { return };
                let now = *manner.borrow();
                match now {
                    Manner::Fine | Manner::Refuses => client.write_all(data).await,
                    Manner::Crawls => crawl(&mut client, data, &manner).await,
                    Manner::Forgets => return last(client, REFUSAL).await,
                    Manner::Babbles => return last(client, nonsense(data)).await,
                }
            }
        };
        if done.is_err() {
            return;
        }
    }
}

fn taken(buffer: &[u8], n: std::io::Result<usize>) -> Option<&[u8]> {
    buffer.get(..n.ok().filter(|n| *n > 0)?)
}

fn nonsense(data: &[u8]) -> &'static [u8] {
    if data.len().is_multiple_of(2) { NO_JSON } else { NO_HTTP }
}

async fn last(mut client: TcpStream, answer: &[u8]) {
    let _ = client.write_all(answer).await;
    let _ = client.shutdown().await;
}

async fn crawl(to: &mut TcpStream, data: &[u8], manner: &watch::Receiver<Manner>) -> std::io::Result<()> {
    for part in data.chunks(16) {
        to.write_all(part).await?;
        if *manner.borrow() == Manner::Crawls {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

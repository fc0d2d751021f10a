//! A registry that never ends: it knows every image, and tells what is in it
//! a byte at a time.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The registry.
pub(crate) struct Pit {
    /// An image of it.
    pub(crate) image: String,
    listener: JoinHandle<()>,
}

impl Drop for Pit {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Pit {
    /// Listens on `address`, which the hosts can reach.
    pub(crate) async fn start(address: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let image = format!("{address}:{}/endless/pit:latest", listener.local_addr()?.port());
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { image, listener })
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 16_384];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let asked = String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned();
        let head = "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
            Content-Type: application/vnd.docker.distribution.manifest.v2+json\r\n";
        if asked.starts_with("GET /v2/ ") {
            stream
                .write_all(format!("{head}Content-Length: 2\r\n\r\n{{}}").as_bytes())
                .await?;
            continue;
        }
        stream
            .write_all(format!("{head}Content-Length: 1000000\r\n\r\n").as_bytes())
            .await?;
        if asked.starts_with("HEAD ") {
            continue;
        }
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

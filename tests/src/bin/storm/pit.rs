//! A registry that never ends: it knows every image, and tells what is in it
//! a byte at a time, until the storm is over. Then it has none.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The registry.
pub(crate) struct Pit {
    /// An image of it.
    pub(crate) image: String,
    listener: JoinHandle<()>,
    over: watch::Sender<bool>,
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
        let (over, is_over) = watch::channel(false);
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut is_over = is_over.clone();
                tokio::spawn(async move {
                    let begun_late = *is_over.borrow_and_update();
                    tokio::select! {
                        served = serve(stream, begun_late) => served,
                        _ = is_over.changed() => Ok(()),
                    }
                });
            }
        });
        Ok(Self { image, listener, over })
    }

    /// What is under way breaks off, and what comes now is told that there is no image.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }
}

async fn serve(mut stream: TcpStream, is_over: bool) -> std::io::Result<()> {
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
        if is_over {
            let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            let head = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n", unknown.len());
            stream.write_all(answer.as_bytes()).await?;
            if !asked.starts_with("HEAD ") {
                stream.write_all(unknown.as_bytes()).await?;
            }
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

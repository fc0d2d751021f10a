//! The ways into a host beside its socket: mutual TLS and ssh.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use senlin_core::{
    host::{Endpoint, Tls},
    secret::Secret,
};

use super::{Host, sh};

/// A CA, a server's certificate for `address`, a client's, and a client's of
/// somebody else.
pub(super) fn certificates(dir: &Path, address: &str) -> anyhow::Result<()> {
    let dir = dir.display();
    sh(&format!(
        "cd {dir}; new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
         openssl req -x509 $new -keyout ca.key -out ca.pem -subj /CN=senlin-test-ca -days 2 2>/dev/null
         openssl req -x509 $new -keyout stranger.key -out stranger.pem -subj /CN=stranger -days 2 2>/dev/null
         sign() {{ openssl req $new -keyout $1.key -out $1.csr -subj /CN=$1 2>/dev/null
             openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $1.pem \\
                 -extfile <(printf \"$2\") 2>/dev/null; }}
         sign server 'subjectAltName=IP:{address}\\nextendedKeyUsage=serverAuth'
         sign client 'extendedKeyUsage=clientAuth'"
    ))?;
    Ok(())
}

/// An ssh server on a host, gone with this.
pub struct Ssh {
    server: Child,
    /// How to reach the engine through it.
    pub endpoint: Endpoint,
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Host {
    /// `tcp://` with TLS: who we are is `client` or `stranger`, whom we trust is `ca` or `stranger`.
    ///
    /// # Errors
    /// When the host has no TLS.
    pub fn secured(&self, who: &str, trusts: &str) -> anyhow::Result<Endpoint> {
        let read = |name: String| fs::read_to_string(self.dir.join(name));
        Ok(Endpoint {
            url: format!("tcp://{}:2376", self.address),
            tls: Some(Tls {
                ca: read(format!("{trusts}.pem"))?,
                cert: read(format!("{who}.pem"))?,
                key: Secret::new(&read(format!("{who}.key"))?),
            }),
            allow_insecure: false,
            ssh_key: None,
        })
    }

    /// Starts an ssh server in the host's network.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn ssh(&self) -> anyhow::Result<Ssh> {
        let (dir, address) = (self.dir.display(), &self.address);
        sh(&format!(
            "cd {dir}; mkdir -p run/sshd; for k in host user; do ssh-keygen -q -t ed25519 -N '' -f $k; done
             cp user.pub authorized; chmod 600 authorized; ssh-keygen -R {address} >/dev/null 2>&1 || true"
        ))?;
        // The daemon's private /run is this server's too: there is the socket that `docker` looks for.
        let inner = format!(
            "mount --bind {dir}/run /run; exec /usr/sbin/sshd -D -f /dev/null -h {dir}/host -o ListenAddress={address} \
             -o AuthorizedKeysFile={dir}/authorized -o StrictModes=no -o PermitRootLogin=prohibit-password -o PidFile=none"
        );
        let server = Command::new("nsenter")
            .args([
                &format!("--net=/run/netns/{}", self.name),
                "unshare",
                "-m",
                "sh",
                "-c",
                &inner,
            ])
            .stdin(Stdio::null())
            .stderr(fs::File::create(self.dir.join("sshd.log"))?)
            .spawn()
            .context("start sshd")?;
        let ssh = Ssh {
            server,
            endpoint: Endpoint {
                url: format!("ssh://root@{address}"),
                tls: None,
                allow_insecure: false,
                ssh_key: Some(Secret::new(&fs::read_to_string(self.dir.join("user"))?)),
            },
        };
        for _ in 0..50 {
            if std::net::TcpStream::connect((address.as_str(), 22)).is_ok() {
                return Ok(ssh);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("sshd on {address} does not listen")
    }
}

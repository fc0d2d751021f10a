//! Requests to addresses that tenants name. They reach neither this machine,
//! nor what belongs to the control plane, nor link-local addresses, unless the
//! operator says so; redirects are not followed, and the address that was
//! looked at is the one that is connected to.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Bytes of an answer at most.
const MAX_ANSWER_BYTES: usize = 512 << 10;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutboundError {
    /// The URL or its address is not to be used; it never will be.
    #[error("{0}")]
    Blocked(String),
    /// It could not be reached, or did not answer in time.
    #[error("{0}")]
    Unreachable(String),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// What to ask.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    /// JSON to POST; a GET without.
    pub(crate) post: Option<String>,
    pub(crate) timeout: Duration,
    /// Whether certificates are checked.
    pub(crate) verify: bool,
    /// The address is one that we made up ourselves, such as a container's published port.
    pub(crate) ours: bool,
}

/// Who asks.
pub(crate) struct Outbound {
    allowed: Vec<IpNet>,
    blocked: Vec<IpAddr>,
    checked: Arc<ClientConfig>,
    unchecked: Arc<ClientConfig>,
}

impl Outbound {
    /// `allowed`: addresses or `address/bits` that may be asked although they
    /// would be blocked; `blocked`: the control plane's own.
    ///
    /// # Errors
    /// Names what is no address.
    pub(crate) fn new(allowed: &[String], blocked: &[IpAddr]) -> Result<Self, String> {
        let allowed = allowed.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|e| e.to_string())
        };
        let checked = builder()?.with_root_certificates(roots).with_no_client_auth();
        let unchecked = builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider.clone())))
            .with_no_client_auth();
        Ok(Self {
            allowed,
            blocked: blocked.to_vec(),
            checked: Arc::new(checked),
            unchecked: Arc::new(unchecked),
        })
    }

    /// Connects, and no more: `tcp://host:port`.
    pub(crate) async fn reach(&self, ask: &Ask<'_>) -> Result<(), OutboundError> {
        let uri = parse(ask.url)?;
        let port = uri
            .port_u16()
            .ok_or_else(|| OutboundError::Blocked(format!("'{}' names no port", ask.url)))?;
        within(ask.timeout, self.connect(&uri, port, ask.ours)).await?;
        Ok(())
    }

    /// Asks and reads the answer.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, OutboundError> {
        let uri = parse(ask.url)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => {
                return Err(OutboundError::Blocked(format!(
                    "'{}' is not http:// or https://",
                    ask.url
                )));
            }
        };
        within(ask.timeout, async {
            let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let stream = self.connect(&uri, port, ask.ours).await?;
            if !tls {
                return exchange(stream, &uri, ask.post.clone()).await;
            }
            let config = if ask.verify { &self.checked } else { &self.unchecked };
            let name = ServerName::try_from(host(&uri).to_owned())
                .map_err(|e| OutboundError::Blocked(format!("'{}' names no server: {e}", ask.url)))?;
            let stream = TlsConnector::from(config.clone())
                .connect(name, stream)
                .await
                .map_err(|e| OutboundError::Unreachable(format!("TLS failed: {e}")))?;
            exchange(stream, &uri, ask.post.clone()).await
        })
        .await
    }

    async fn connect(&self, uri: &Uri, port: u16, ours: bool) -> Result<TcpStream, OutboundError> {
        let host = host(uri);
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|e| OutboundError::Unreachable(format!("'{host}' cannot be resolved: {e}")))?
            .collect();
        // All of them: else the next look at the name could answer another.
        if let Some(why) = found.iter().filter(|_| !ours).find_map(|a| self.why_blocked(a.ip())) {
            return Err(OutboundError::Blocked(format!("'{host}' is {why}")));
        }
        TcpStream::connect(found.as_slice())
            .await
            .map_err(|e| OutboundError::Unreachable(format!("no connection to {host}:{port}: {e}")))
    }

    fn why_blocked(&self, ip: IpAddr) -> Option<&'static str> {
        let ip = ip.to_canonical();
        if self.allowed.iter().any(|net| net.contains(&ip)) {
            return None;
        }
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if ip.is_loopback() || ip.is_unspecified() {
            Some("a loopback address")
        } else if link_local || ip.is_multicast() {
            Some("a link-local or multicast address")
        } else if self.blocked.contains(&ip) || UdpSocket::bind((ip, 0)).is_ok() {
            // Only an address of this machine can be bound.
            Some("an address of the control plane")
        } else {
            None
        }
    }
}

/// The addresses of the control plane's own parts, each `host:port`. A path is
/// a socket, which no URL reaches.
#[must_use]
pub fn addresses(places: &[String]) -> Vec<IpAddr> {
    let resolve = |place: &String| place.to_socket_addrs().ok();
    let found = places.iter().filter_map(resolve).flatten();
    found.map(|address| address.ip().to_canonical()).collect()
}

fn parse(url: &str) -> Result<Uri, OutboundError> {
    url.parse()
        .ok()
        .filter(|u: &Uri| u.host().is_some())
        .ok_or_else(|| OutboundError::Blocked(format!("'{url}' is no URL")))
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_matches(['[', ']'])
}

/// `address` or `address/bits`.
fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text
        .parse()
        .or_else(|error| text.parse::<IpAddr>().map(IpNet::from).or(Err(error)));
    parsed.map_err(|e| format!("engine.allow_addresses: '{text}': {e}"))
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, OutboundError>>) -> Result<T, OutboundError> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        Err(OutboundError::Unreachable(format!(
            "no answer within {:.1} s",
            time.as_secs_f64()
        )))
    })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    post: Option<String>,
) -> Result<Answer, OutboundError> {
    let away = |e: &dyn std::fmt::Display| OutboundError::Unreachable(format!("the answer failed: {e}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| away(&e))?;
    // Ends with the sender.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let authority = uri.authority().map_or("", |a| a.as_str());
    let request = Request::builder()
        .method(if post.is_some() { "POST" } else { "GET" })
        .uri(path)
        .header("Host", authority.rsplit('@').next().unwrap_or_default())
        .header("User-Agent", "senlin")
        .header("Content-Type", "application/json")
        .body(Full::new(Bytes::from(post.unwrap_or_default())))
        .map_err(|e| OutboundError::Blocked(e.to_string()))?;
    let answer = sender.send_request(request).await.map_err(|e| away(&e))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|e| away(&e))?
        .to_bytes();
    Ok(Answer {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// For `poll_url_ssl_verify: false`: any certificate will do.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str) -> Ask<'_> {
        Ask {
            url,
            post: None,
            timeout: Duration::from_millis(300),
            verify: true,
            ours: false,
        }
    }

    #[tokio::test]
    async fn what_is_ours_cannot_be_reached() {
        let web = Outbound::new(&[], &["203.0.113.9".parse().unwrap()]).unwrap();
        for (url, word) in [
            ("http://127.0.0.1/", "loopback"),
            ("http://localhost:8778/metrics", "loopback"),
            ("http://[::1]/", "loopback"),
            ("http://[::ffff:127.0.0.1]/", "loopback"),
            ("http://0.0.0.0/", "loopback"),
            ("http://169.254.169.254/latest/meta-data", "link-local"),
            ("http://[fe80::1]/", "link-local"),
            ("http://203.0.113.9:5432/", "control plane"),
            ("http://2130706433/", "loopback"),
            ("file:///etc/passwd", "no URL"),
            ("gopher://example/", "not http://"),
        ] {
            match web.ask(&ask(url)).await.unwrap_err() {
                OutboundError::Blocked(why) => assert!(why.contains(word), "{url}: {why}"),
                // Some resolvers do not read a bare number as an address at all.
                OutboundError::Unreachable(_) if url.contains("2130706433") => {}
                other @ OutboundError::Unreachable(_) => panic!("{url}: {other}"),
            }
        }
        assert!(matches!(
            web.reach(&ask("tcp://127.0.0.1:22")).await,
            Err(OutboundError::Blocked(_))
        ));
    }

    #[test]
    fn the_parts_of_the_control_plane_are_known() {
        let places = [
            "203.0.113.9:5432",
            "[2001:db8::1]:5432",
            "/run/postgresql",
            "203.0.113.10:5672",
        ];
        let known = addresses(&places.map(str::to_owned));
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        assert_eq!(known, ["203.0.113.9", "2001:db8::1", "203.0.113.10"]);
    }

    #[test]
    fn the_operator_may_allow() {
        let web = Outbound::new(&["127.0.0.0/8".to_owned(), "10.1.2.3".to_owned()], &[]).unwrap();
        assert_eq!(web.why_blocked("127.0.0.1".parse().unwrap()), None);
        assert!(web.why_blocked("::1".parse().unwrap()).is_some());
        assert!(Outbound::new(&["10.0.0.0/33".to_owned()], &[]).is_err());
        assert!(Outbound::new(&["somewhere".to_owned()], &[]).is_err());
    }
}

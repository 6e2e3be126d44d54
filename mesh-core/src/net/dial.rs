//! Dialling: an address to a byte stream, within a time limit.

use super::{Address, DnsFamily, Io};
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// How long a connection may take to be made (Envoy `Cluster.connect_timeout`).
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is probed after this time, and then at a third of it: a peer that vanished is noticed after
/// twice this time even when nothing is sent.
pub const DEFAULT_TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// A connection whose data stays unacknowledged for this long is broken (gRFC A18).
pub const DEFAULT_TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a host name may take to be looked up.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What [`Connect::connect`] returns.
pub type ConnectFuture = Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>;

/// What [`Connect::resolve`] returns.
pub type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A way to reach an address other than the system's sockets: a proxy, a simulated network.
pub trait Connect: Send + Sync + 'static {
    /// Connects to `address`. The caller limits the time.
    fn connect(&self, address: &Address) -> ConnectFuture;

    /// The addresses of a host. Default: those that the system's resolver knows.
    fn resolve(&self, host: &str) -> ResolveFuture {
        Box::pin(system_resolve(host.to_owned()))
    }
}

/// Makes connections.
#[derive(Clone, Default)]
pub struct Dialer {
    custom: Option<Arc<dyn Connect>>,
}

impl Dialer {
    /// Dials through `connect` instead of the system's sockets.
    pub fn custom(connect: impl Connect) -> Self {
        Self { custom: Some(Arc::new(connect)) }
    }

    /// Connects to `address` within `timeout`.
    pub async fn dial(&self, address: &Address, timeout: Duration) -> io::Result<Io> {
        self.dial_family(address, DnsFamily::default(), timeout).await
    }

    /// Connects to `address` within `timeout`, a host name by its addresses of `family`. By default, and for
    /// [`DnsFamily::All`], the operating system knows best in which order they are tried.
    pub async fn dial_family(
        &self,
        address: &Address,
        family: DnsFamily,
        timeout: Duration,
    ) -> io::Result<Io> {
        let connect = async {
            match (address, family) {
                (Address::Dns { host, port }, DnsFamily::V4 | DnsFamily::V6 | DnsFamily::V4First) => {
                    let found = family.choose(&self.resolve(host).await?);
                    let mut error = io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("{host} has no address of the family that is asked for, {family:?}"),
                    );
                    for ip in found {
                        match self.connect(&Address::Ip(SocketAddr::new(ip, *port))).await {
                            Ok(io) => return Ok(io),
                            Err(why) => error = why,
                        }
                    }
                    Err(error)
                }
                _ => self.connect(address).await,
            }
        };
        match tokio::time::timeout(timeout, connect).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no connection to {address} within {timeout:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}

impl Dialer {
    async fn connect(&self, address: &Address) -> io::Result<Io> {
        match &self.custom {
            Some(custom) => custom.connect(address).await,
            None => system(address).await,
        }
    }

    /// The addresses of `host`, within [`RESOLVE_TIMEOUT`].
    pub async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let resolve = async {
            match &self.custom {
                Some(custom) => custom.resolve(host).await,
                None => system_resolve(host.to_owned()).await,
            }
        };
        match tokio::time::timeout(RESOLVE_TIMEOUT, resolve).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no address of {host} within {RESOLVE_TIMEOUT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}

async fn system_resolve(host: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("custom", &self.custom.is_some()).finish()
    }
}

async fn system(address: &Address) -> io::Result<Io> {
    match address {
        Address::Ip(address) => tune(TcpStream::connect(address).await?),
        Address::Dns { host, port } => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            tune(TcpStream::connect((host, *port)).await?)
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Io::Unix(UnixStream::connect(path).await?)),
        Address::Internal(_) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is a listener within Envoy, which nothing else can connect to",
        )),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets here")),
    }
}

/// Small writes go out at once, and a peer that vanished is noticed.
fn tune(stream: TcpStream) -> io::Result<Io> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(DEFAULT_TCP_KEEPALIVE);
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows", target_os = "android"))]
    let keepalive = keepalive.with_interval(DEFAULT_TCP_KEEPALIVE / 3).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(DEFAULT_TCP_USER_TIMEOUT))?;
    Ok(Io::Tcp(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    struct Never;

    impl Connect for Never {
        fn connect(&self, _: &Address) -> ConnectFuture {
            Box::pin(pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_limited() {
        let dialer = Dialer::custom(Never);
        let address = Address::host_port("example", 80);
        let error = dialer.dial(&address, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("example:80"), "{error}");
    }

    /// A host with addresses of both families, where somebody is at one of the first of each.
    struct Both;

    impl Connect for Both {
        fn connect(&self, address: &Address) -> ConnectFuture {
            let there = ["10.0.0.2:80", "[fd00::1]:80"].contains(&address.to_string().as_str());
            let found = if there {
                Ok(Io::new(tokio::io::empty()))
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            };
            let address = address.clone();
            Box::pin(async move {
                found.map_err(|error: io::Error| io::Error::new(error.kind(), address.to_string()))
            })
        }

        fn resolve(&self, host: &str) -> ResolveFuture {
            let all = ["fd00::1", "10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
            let of_v6 = host == "six";
            Box::pin(
                async move { Ok(all.into_iter().filter(|ip: &IpAddr| !of_v6 || ip.is_ipv6()).collect()) },
            )
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_dialled_by_its_addresses_of_the_family() {
        let dialer = Dialer::custom(Both);
        let dial = async |host: &str, family| {
            let address = Address::host_port(host, 80);
            dialer.dial_family(&address, family, DEFAULT_CONNECT_TIMEOUT).await.map(drop)
        };
        dial("both", DnsFamily::V4).await.unwrap();
        dial("both", DnsFamily::V6).await.unwrap();
        dial("six", DnsFamily::V4First).await.unwrap();
        let error = dial("six", DnsFamily::V4).await.unwrap_err();
        assert!(error.to_string().contains("six has no address of the family"), "{error}");
        // Where nothing is asked for, the name goes to whoever connects.
        let error = dial("both", DnsFamily::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "both:80");
    }

    #[tokio::test]
    async fn sockets_are_tuned() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let io = Dialer::default().dial(&address, DEFAULT_CONNECT_TIMEOUT).await.unwrap();
        let Io::Tcp(stream) = io else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}

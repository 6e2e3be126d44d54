//! The ADS server: where it listens and how it ends.

use super::World;
use super::ads::Ads;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;

/// Clients are pinged this often, so that the streams of dead ones end.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A client that does not answer a ping for so long is dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long clients may take to end their connections when the server closes.
pub const CLOSING_TIME: Duration = Duration::from_secs(3);

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Processes of this machine.
    Local,
    /// Anybody who reaches the address. There is no authentication: whoever connects reads the configuration.
    Anybody,
}

/// A server that is bound to its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why a server cannot listen.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address leads nowhere, or cannot be bound to.
    Io {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The address can be reached from other machines, and [`Access::Anybody`] was not given.
    Remote(SocketAddr),
}

impl Server {
    /// Binds to `address`, `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound to, or can be reached from other machines without leave.
    pub async fn bind(address: &str, access: Access) -> Result<Self, BindError> {
        let fail = |error| BindError::Io { address: address.to_owned(), error };
        let resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(fail)?.collect();
        if access == Access::Local
            && let Some(remote) = resolved.iter().find(|address| !address.ip().is_loopback())
        {
            return Err(BindError::Remote(*remote));
        }
        let listener = TcpListener::bind(&*resolved).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the latest of `worlds` until `shutdown`; then accepts no more, ends every stream and returns.
    ///
    /// # Errors
    ///
    /// If the socket fails.
    pub async fn run<W: World + Send + Sync + 'static>(
        self,
        worlds: watch::Receiver<Arc<W>>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let (close, closing) = watch::channel(false);
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let mut closed = closing.clone();
        let serving = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .serve_with_incoming_shutdown(Ads::new(worlds, closing), incoming, async move {
                // Also if nobody is left who could close it.
                let _ = closed.wait_for(|closed| *closed).await;
            });
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            result = &mut serving => return result.map_err(io::Error::other),
            () = shutdown => {}
        }
        close.send_replace(true);
        match timeout(CLOSING_TIME, serving).await {
            Ok(result) => result.map_err(io::Error::other),
            // Connections that are still there are cut off.
            Err(_) => Ok(()),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { address, error } if error.kind() == io::ErrorKind::InvalidInput => {
                write!(f, "cannot listen on {address:?}, which is not written as HOST:PORT")
            }
            Self::Io { address, .. } => write!(f, "cannot listen on {address}"),
            Self::Remote(address) => write!(
                f,
                "refusing to listen on {address}: it can be reached from other machines, and clients are not \
                 authenticated; listen on 127.0.0.1, or allow remote clients explicitly (--allow-remote)"
            ),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Remote(_) => None,
        }
    }
}

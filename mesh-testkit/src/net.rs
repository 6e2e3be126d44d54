//! A network in memory, and listeners that work on it as on real sockets.

use mesh_core::net::{Address, Connect, ConnectFuture, Dialer, Io, ResolveFuture};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
#[cfg(unix)]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What fits a virtual connection in each direction before the writer waits.
const BUFFER: usize = 256 << 10;

/// A network in memory. Cheap to clone; clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct VirtualNet {
    places: Arc<Mutex<Places>>,
    names: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
}

#[derive(Debug, Default)]
struct Places {
    by_address: HashMap<String, Place>,
    /// Every other address.
    elsewhere: Option<Place>,
    /// Attempts to connect, by address.
    dialled: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
enum Place {
    Listening(mpsc::UnboundedSender<DuplexStream>),
    /// Connections are neither made nor refused.
    BlackHole,
}

/// Takes connections, from a virtual network or from a socket.
pub enum Listener {
    /// From a virtual network.
    Virtual(mpsc::UnboundedReceiver<DuplexStream>),
    /// From a TCP socket.
    Tcp(TcpListener),
    /// From a Unix domain socket.
    #[cfg(unix)]
    Unix(UnixListener),
    /// From another listener, over TLS; whoever fails the handshake is dropped.
    Tls(Box<Listener>, TlsAcceptor),
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtual(_) => f.write_str("Virtual"),
            Self::Tcp(listener) => listener.fmt(f),
            #[cfg(unix)]
            Self::Unix(listener) => listener.fmt(f),
            Self::Tls(inner, _) => f.debug_tuple("Tls").field(inner).finish(),
        }
    }
}

impl VirtualNet {
    /// Makes connections through this network.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer::custom(self.clone())
    }

    /// Listens at `address`, in place of whoever did before.
    #[must_use]
    pub fn listen(&self, address: &str) -> Listener {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().by_address.insert(address.to_owned(), Place::Listening(sender));
        Listener::Virtual(receiver)
    }

    /// Listens at every address that nothing else was said about.
    #[must_use]
    pub fn listen_elsewhere(&self) -> Listener {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().elsewhere = Some(Place::Listening(sender));
        Listener::Virtual(receiver)
    }

    /// Attempts to connect to `address` so far.
    #[must_use]
    pub fn dialled(&self, address: &str) -> usize {
        self.lock().dialled.get(address).copied().unwrap_or(0)
    }

    /// Lets connections to `address` hang.
    pub fn black_hole(&self, address: &str) {
        self.lock().by_address.insert(address.to_owned(), Place::BlackHole);
    }

    /// Refuses connections to `address`.
    pub fn refuse(&self, address: &str) {
        self.lock().by_address.remove(address);
    }

    /// Lets `host` stand for `addresses`; without any, it cannot be looked up.
    pub fn name(&self, host: &str, addresses: &[IpAddr]) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(host.to_owned(), addresses.to_vec());
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connect for VirtualNet {
    fn connect(&self, address: &Address) -> ConnectFuture {
        let place = {
            let (address, mut places) = (address.to_string(), self.lock());
            let place = places.by_address.get(&address).or(places.elsewhere.as_ref()).cloned();
            *places.dialled.entry(address).or_default() += 1;
            place
        };
        Box::pin(async move {
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
            match place {
                Some(Place::BlackHole) => std::future::pending().await,
                Some(Place::Listening(sender)) => {
                    let (ours, theirs) = tokio::io::duplex(BUFFER);
                    sender.send(theirs).map_err(|_| refused())?;
                    Ok(Io::new(ours))
                }
                None => Err(refused()),
            }
        })
    }

    fn resolve(&self, host: &str) -> ResolveFuture {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let found = names.get(host).cloned().unwrap_or_default();
        Box::pin(async move {
            match found.is_empty() {
                true => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                false => Ok(found),
            }
        })
    }
}

impl Listener {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn loopback() -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind("127.0.0.1:0").await?))
    }

    /// Listens on a Unix domain socket that is made at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be made, for example because something is there already.
    #[cfg(unix)]
    pub fn unix(path: &Path) -> io::Result<Self> {
        Ok(Self::Unix(UnixListener::bind(path)?))
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// If nobody can connect any more.
    pub async fn accept(&mut self) -> io::Result<Io> {
        match self {
            Self::Virtual(connections) => {
                let closed = || io::Error::new(io::ErrorKind::NotConnected, "the listener was replaced");
                connections.recv().await.map(Io::new).ok_or_else(closed)
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Io::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Io::Unix(listener.accept().await?.0)),
            Self::Tls(inner, acceptor) => loop {
                let io = Box::pin(inner.accept()).await?;
                if let Ok(stream) = acceptor.accept(io).await {
                    return Ok(Io::new(stream));
                }
            },
        }
    }

    /// The address of a TCP socket.
    #[must_use]
    pub fn local_address(&self) -> Option<String> {
        match self {
            Self::Virtual(_) => None,
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Tls(inner, _) => inner.local_address(),
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.to_string()),
        }
    }
}

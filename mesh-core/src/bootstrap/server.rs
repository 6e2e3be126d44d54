//! Whom to ask, and how.

use crate::net::{Address, AddressError};

/// A control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `server_uri` as it was written.
    pub uri: String,
    /// Where it is.
    pub address: Address,
    /// How to speak to it.
    pub credentials: ChannelCredentials,
    /// What it can do; features that are not known are kept and ignored.
    pub features: Vec<String>,
}

/// How to speak to a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelCredentials {
    /// In plain text.
    Insecure,
}

impl ChannelCredentials {
    /// The types that [`parse`](Self::parse) knows, for messages.
    pub(super) const SUPPORTED: &'static str = "insecure";

    /// The credentials of a `channel_creds` entry, if its type is supported.
    pub(super) fn parse(kind: &str) -> Option<Self> {
        (kind == "insecure").then_some(Self::Insecure)
    }
}

impl Server {
    /// A control plane that is spoken to in plain text.
    ///
    /// # Errors
    ///
    /// If `uri` has none of the forms that [`Address::parse`] takes.
    pub fn insecure(uri: &str) -> Result<Self, AddressError> {
        Ok(Self {
            uri: uri.to_owned(),
            address: Address::parse(uri)?,
            credentials: ChannelCredentials::Insecure,
            features: Vec::new(),
        })
    }
}

//! The answers of a real istiod in `tests/recorded`.

#![allow(dead_code, reason = "each test uses a part of it")]

use bytes::Bytes;
use mesh_core::resource::Kind;
use mesh_core::xds::kind::ResourceKind;
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A recorded resource.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The file that it was in, below `tests/recorded`.
    pub(crate) file: String,
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
    /// The resource.
    pub(crate) bytes: Bytes,
}

/// A recorded response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// As it came.
    pub(crate) bytes: Vec<u8>,
    /// The resources in it.
    pub(crate) answers: Vec<Answer>,
}

/// The responses of one folder: those that one client got, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    /// Whether they are of the delta protocol.
    pub(crate) delta: bool,
    /// What came.
    pub(crate) responses: Vec<Response>,
}

/// Every recorded resource.
pub(crate) fn answers() -> Vec<Answer> {
    let root = root();
    files(&root).iter().flat_map(|path| read(&root, path)).collect()
}

/// Every recorded response, by the client that got it.
pub(crate) fn conversations() -> Vec<Conversation> {
    let root = root();
    let mut conversations: BTreeMap<PathBuf, Conversation> = BTreeMap::new();
    for path in files(&root) {
        let folder = path.parent().unwrap().to_owned();
        let conversation = conversations.entry(folder.clone()).or_default();
        conversation.delta = folder.ends_with("sidecar");
        let (bytes, answers) = (fs::read(&path).unwrap(), read(&root, &path));
        conversation.responses.push(Response { bytes, answers });
    }
    conversations.into_values().collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    assert!(files.len() > 300, "only {} recorded answers", files.len());
    files
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "pb") {
            files.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Vec<Answer> {
    let bytes = fs::read(path).unwrap();
    let file = path.strip_prefix(root).unwrap().display().to_string();
    let answer = |url: &str, name: String, bytes: Vec<u8>| Answer {
        file: file.clone(),
        kind: Kind::from_type_url(url).unwrap_or_else(|| panic!("{file}: {url}")),
        name,
        bytes: bytes.into(),
    };
    if file.contains("grpc") {
        let response = DiscoveryResponse::decode(&bytes[..]).unwrap();
        let resources = response.resources.into_iter();
        resources.map(|any| answer(&any.type_url, name_of(&any.value), any.value)).collect()
    } else {
        let response = DeltaDiscoveryResponse::decode(&bytes[..]).unwrap();
        let resources = response.resources.into_iter();
        resources
            .map(|resource| {
                let any = resource.resource.unwrap();
                answer(&any.type_url, resource.name, any.value)
            })
            .collect()
    }
}

/// The string in field 1, as every resource has it.
fn name_of(bytes: &[u8]) -> String {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(bytes).unwrap().name
}

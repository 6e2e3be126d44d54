//! The xDS session: whatever happens and whatever a control plane says, what is good stays in force, every change is
//! told once, and requests are in order. The first byte of the input chooses protocol and features, the others say what
//! happens; [`Script`] writes such an input.

use bytes::Bytes;
use mesh_core::clock::{Clock, Instant};
use mesh_core::resource::Kind;
use mesh_core::xds::features::Features;
use mesh_core::xds::in_process::Protocol;
use mesh_core::xds::kind::ResourceKind;
use mesh_core::xds::session::{Change, Received, Session};
use mesh_proto::ads::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::google::rpc::Status;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Names that have a number; others are spelt out.
const NAMES: [&str; 6] = ["a", "b", "", "*", "ü\u{0}", "outbound|80||c"];
/// What happens, by the remainder of its byte; what is not here is a response made of small pieces.
const SUBSCRIBE: u8 = 0;
const UNSUBSCRIBE: u8 = 1;
const OPEN: u8 = 2;
const CLOSE: u8 = 3;
const WAIT: u8 = 4;
const MESSAGE: u8 = 5;
const STEPS: u8 = 8;
/// The longest refusal, in bytes: 8 KiB and how many more there are.
const MAX_REFUSAL: usize = (8 << 10) + 32;

/// Drives a session.
pub fn run(data: &[u8]) {
    drive(data);
}

/// Drives a session; how many resources were accepted and how many refused.
pub fn drive(data: &[u8]) -> Received {
    let mut input = Input(data);
    let mut run = Run::new(input.byte().unwrap_or(0));
    while run.step(&mut input).is_some() {
        run.settle();
    }
    run.check_known();
    Kind::ALL.iter().fold(Received::default(), |sum, &kind| {
        let Received { valid, invalid } = run.session.received(kind);
        Received { valid: sum.valid + valid, invalid: sum.invalid + invalid }
    })
}

/// An input for [`run`].
#[derive(Debug)]
pub struct Script(pub Vec<u8>);

impl Script {
    /// Nothing happens yet; `all` subscribes to all clusters.
    pub fn new(protocol: Protocol, all: bool) -> Self {
        Self(vec![u8::from(protocol == Protocol::Delta) | if all { 16 } else { 0 }])
    }

    /// A subscription.
    pub fn subscribe(&mut self, kind: Kind, name: &str) {
        // No recorded name is longer than the longest that can be spelt out.
        let len = name.len().min(usize::from(u8::MAX) - NAMES.len());
        self.0.extend([SUBSCRIBE, kind.index() as u8, (len + NAMES.len()) as u8]);
        self.0.extend(&name.as_bytes()[..len]);
    }

    /// A stream is opened.
    pub fn open(&mut self) {
        self.0.push(OPEN);
    }

    /// The stream breaks, and there is time enough to open another.
    pub fn close(&mut self) {
        self.0.push(CLOSE);
        self.wait();
    }

    /// Ten seconds pass.
    pub fn wait(&mut self) {
        self.0.extend([WAIT, 103]);
    }

    /// A message comes.
    pub fn message(&mut self, message: &[u8]) {
        let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
        self.0.push(MESSAGE);
        self.0.extend(len.to_le_bytes());
        self.0.extend(&message[..usize::from(len)]);
    }
}

/// The bytes that are left, and what they can be read as.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// As many bytes, if there are so many.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn name(&mut self) -> Option<String> {
        let choice = usize::from(self.byte()?);
        Some(match NAMES.get(choice) {
            Some(&name) => name.to_owned(),
            None => String::from_utf8_lossy(self.bytes(choice - NAMES.len())).into_owned(),
        })
    }

    fn kind(&mut self) -> Option<Kind> {
        Some(Kind::ALL[usize::from(self.byte()?) % Kind::ALL.len()])
    }

    fn message(&mut self) -> Option<Bytes> {
        let len = u16::from_le_bytes([self.byte()?, self.byte()?]);
        Some(Bytes::copy_from_slice(self.bytes(len.into())))
    }

    /// A resource that has the right type most of the time, and a name if its bytes do not say one.
    fn any(&mut self, kind: Kind) -> Option<Any> {
        let choice = self.byte()?;
        let (name, len) = (self.name()?, self.byte()?);
        let mut value = Vec::new();
        if choice & 1 == 0 {
            prost::encoding::string::encode(1, &name, &mut value);
        }
        value.extend_from_slice(self.bytes(len.into()));
        let type_url = if choice & 0x70 == 0x70 { "t" } else { kind.type_url() }.to_owned();
        Some(Any { type_url, value: value.into() })
    }

    /// A well-formed response with resources that may be anything.
    fn response(&mut self, protocol: Protocol) -> Option<Bytes> {
        let kind = self.kind()?;
        let (version, nonce, count) = (self.byte()?, self.byte()?, self.byte()? % 8);
        let (version, nonce, type_url) = (version.to_string(), nonce.to_string(), kind.type_url().to_owned());
        let mut resources = Vec::new();
        for _ in 0..count {
            resources.push(self.any(kind)?);
        }
        let encoded = match protocol {
            Protocol::StateOfTheWorld => {
                DiscoveryResponse { version_info: version, resources, type_url, nonce, ..Default::default() }
                    .encode_to_vec()
            }
            Protocol::Delta => {
                let removed_resources = vec![self.name()?, self.name()?];
                let mut wrapped = Vec::new();
                for any in resources {
                    let name = self.name()?;
                    wrapped.push(Resource { version: version.clone(), resource: Some(any), name });
                }
                let resources = wrapped;
                DeltaDiscoveryResponse { resources, type_url, nonce, removed_resources, ..Default::default() }
                    .encode_to_vec()
            }
        };
        Some(encoded.into())
    }
}

/// What can be seen of a resource.
#[derive(Debug, PartialEq)]
struct Seen {
    present: Option<Bytes>,
    refused: Option<(String, Bytes)>,
    trouble: String,
    reported: Option<(i32, String)>,
}

struct Run {
    session: Session<Kind>,
    protocol: Protocol,
    features: Features,
    wildcard: bool,
    now: Instant,
    subscribed: BTreeSet<(Kind, Arc<str>)>,
    /// What the session told of, as it was when it did.
    told: BTreeMap<(Kind, Arc<str>), Seen>,
    /// The kinds that were asked for on the stream.
    asked: BTreeSet<Kind>,
}

impl Run {
    fn new(choice: u8) -> Self {
        let protocol = if choice & 1 == 0 { Protocol::StateOfTheWorld } else { Protocol::Delta };
        let features = Features {
            fail_on_data_errors: choice & 2 != 0,
            ignore_resource_deletion: choice & 4 != 0,
            resource_timer_is_transient_error: choice & 8 != 0,
        };
        let wildcard = choice & 16 != 0;
        let now = Clock::seeded(0).now();
        let node = Node { id: "fuzz".to_owned(), ..Default::default() };
        let mut session = Session::new(node, protocol, features, &Default::default(), now);
        if wildcard {
            session.add_all(Kind::Cluster);
        }
        Self {
            session,
            protocol,
            features,
            wildcard,
            now,
            subscribed: BTreeSet::new(),
            told: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Lets the next thing happen; none if the input is at its end.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let step = input.byte()?;
        match step % STEPS {
            SUBSCRIBE => self.subscribe(input.kind()?, input.name()?.into(), true),
            UNSUBSCRIBE => self.subscribe(input.kind()?, input.name()?.into(), false),
            OPEN => {
                if self.session.should_open(self.now) {
                    self.session.opened(self.now);
                    self.asked.clear();
                }
            }
            CLOSE => self.close(step.into()),
            WAIT => self.now += Duration::from_millis(u64::from(input.byte()?) * 97),
            MESSAGE => {
                let message = input.message()?;
                if !self.receive(message) {
                    // As the caller has to.
                    self.close(0);
                }
            }
            _ => {
                let response = input.response(self.protocol)?;
                assert!(self.receive(response), "a response is not taken for one");
            }
        }
        Some(())
    }

    fn subscribe(&mut self, kind: Kind, name: Arc<str>, on: bool) {
        let key = (kind, name);
        let one = std::slice::from_ref(&key.1);
        let (added, removed) = if on { (one, &[][..]) } else { (&[][..], one) };
        self.session.change_subscription(kind, added, removed);
        if on {
            self.subscribed.insert(key.clone());
        } else {
            self.subscribed.remove(&key);
        }
        match self.look(&key) {
            Some(seen) => self.told.insert(key, seen),
            None => self.told.remove(&key),
        };
    }

    fn close(&mut self, entropy: u64) {
        self.session.closed(self.now, "closed", entropy);
        let mut changes = Vec::new();
        self.session.fire(self.now, &mut changes);
        self.hear(changes, false);
        self.check_known();
    }

    /// Takes a message in; whether it was understood.
    fn receive(&mut self, message: Bytes) -> bool {
        let mut changes = Vec::new();
        let understood = self.session.receive(self.now, message, &mut changes).is_ok();
        assert!(understood || changes.is_empty(), "what cannot be understood has an effect");
        self.hear(changes, true);
        self.check_known();
        understood
    }

    /// Lets the session draw conclusions and say what it has to say.
    fn settle(&mut self) {
        let mut changes = Vec::new();
        self.session.fire(self.now, &mut changes);
        self.hear(changes, false);
        let mut requests = 0;
        while let Some(request) = self.session.next_request(self.now) {
            requests += 1;
            assert!(requests < 100, "a session that never stops talking");
            self.check_request(request);
        }
        if self.session.is_open() {
            let timer = self.session.next_timer();
            assert!(timer.is_none_or(|at| at > self.now), "a timer that is never satisfied");
        }
    }

    fn look(&self, (kind, name): &(Kind, Arc<str>)) -> Option<Seen> {
        let entry = self.session.get(*kind, name)?;
        Some(Seen {
            present: entry.present().map(|present| present.bytes.clone()),
            refused: entry.rejection.as_ref().map(|refused| (refused.reason.clone(), refused.bytes.clone())),
            trouble: entry.trouble(),
            reported: entry.error.as_ref().map(|error| (error.code, error.message.clone())),
        })
    }

    /// Looks at what is said to have changed, which is so because of a message or because of time.
    fn hear(&mut self, changes: Vec<Change<Kind>>, received: bool) {
        for Change { kind, name } in changes {
            let key = (kind, name);
            let Some(seen) = self.look(&key) else {
                assert!(self.told.remove(&key).is_some(), "{key:?}: told to be gone, but never known");
                continue;
            };
            let before = self.told.get(&key);
            assert_ne!(before, Some(&seen), "{key:?}: told without need");
            if let Some(bytes) = &seen.present {
                assert!(kind.decode(&key.1, bytes, None).is_ok(), "{key:?}: what is in force is not valid");
            }
            if seen.refused.is_some() && received {
                let good = before.and_then(|before| before.present.clone());
                let kept = good.filter(|_| !self.features.fail_on_data_errors);
                assert_eq!(seen.present, kept, "{key:?}: a refusal changes what is in force");
            }
            self.told.insert(key, seen);
        }
    }

    /// Whether all that is known was told, and nothing is known without need.
    fn check_known(&self) {
        let mut known = 0;
        for &kind in Kind::ALL {
            for (name, _) in self.session.entries(kind) {
                let key = (kind, name.clone());
                assert_eq!(self.told.get(&key), self.look(&key).as_ref(), "{key:?}: not told");
                let wanted = self.subscribed.contains(&key) || self.wildcard && kind == Kind::Cluster;
                assert!(wanted, "{key:?}: kept without being asked");
                known += 1;
            }
        }
        assert_eq!(known, self.told.len(), "gone without a word");
        let forgotten = self.subscribed.iter().find(|key| !self.told.contains_key(key));
        assert_eq!(forgotten, None, "a subscription was forgotten");
    }

    fn check_request(&mut self, request: Bytes) {
        let (node, type_url, named, error) = match self.protocol {
            Protocol::StateOfTheWorld => {
                let request = DiscoveryRequest::decode(request).expect("a request");
                let kind = Kind::from_type_url(&request.type_url).expect("a kind");
                let first = !self.asked.contains(&kind);
                let all = self.wildcard && kind == Kind::Cluster;
                assert!(!first || all || !request.resource_names.is_empty(), "everything is asked for");
                let version = &request.version_info;
                assert!(
                    version.is_empty() || *version == self.session.version(kind),
                    "not what was accepted"
                );
                (request.node, request.type_url, request.resource_names, request.error_detail)
            }
            Protocol::Delta => {
                let request = DeltaDiscoveryRequest::decode(request).expect("a request");
                let kind = Kind::from_type_url(&request.type_url).expect("a kind");
                for name in request.resource_names_unsubscribe {
                    let key = (kind, name.as_str().into());
                    assert!(!self.subscribed.contains(&key), "{key:?}: unsubscribed from");
                }
                for (name, _) in request.initial_resource_versions {
                    assert!(!self.asked.contains(&kind), "{name}: versions belong to the first request");
                    let entry = self.session.get(kind, &name);
                    assert!(entry.is_some_and(|entry| entry.present().is_some()), "{name}: claimed");
                }
                (request.node, request.type_url, request.resource_names_subscribe, request.error_detail)
            }
        };
        let kind = Kind::from_type_url(&type_url).expect("a kind");
        assert_eq!(node.is_some(), self.asked.is_empty(), "the first request says who asks");
        for name in named {
            let all = name == "*" && self.wildcard && kind == Kind::Cluster;
            let key = (kind, name.as_str().into());
            assert!(all || self.subscribed.contains(&key), "{key:?}: asked for without need");
        }
        if let Some(Status { code, message, .. }) = error {
            assert!(code == 3 && !message.is_empty() && message.len() < MAX_REFUSAL, "{code}: {message}");
        }
        self.asked.insert(kind);
    }
}

//! A steady load of calls, and what came of each.

use crate::backend::NAME_HEADER;
use crate::echo::{EchoClient, Message};
use bytes::Bytes;
use mesh_core::clock::{Instant, now};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, StdError};

/// A load that runs until it is finished or dropped. It is an open one: a slow answer delays no other call.
#[derive(Debug)]
pub struct Load {
    record: Arc<Mutex<Record>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What came of the calls.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When each answered call began, and who answered it.
    pub answers: Vec<(Instant, String)>,
    /// Why the others failed.
    pub failures: Vec<String>,
}

impl Load {
    /// Begins a call at this interval. A call says who answered it, or why it failed.
    pub fn start<F>(every: Duration, call: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        let record = Arc::new(Mutex::new(Record::default()));
        let (stop, stopped) = watch::channel(false);
        let results = record.clone();
        let task = tokio::spawn(async move {
            let mut calls = JoinSet::new();
            let mut interval = tokio::time::interval(every);
            while !*stopped.borrow() {
                interval.tick().await;
                let (began, call, results) = (now(), call(), results.clone());
                calls.spawn(async move {
                    let result = call.await;
                    let mut record = results.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(server) => record.answers.push((began, server)),
                        Err(reason) => record.failures.push(reason),
                    }
                });
                while let Some(done) = calls.try_join_next() {
                    done.expect("a call panicked");
                }
            }
            while let Some(done) = calls.join_next().await {
                done.expect("a call panicked");
            }
        });
        Self { record, stop, task }
    }

    /// Unary calls of the echo service through `channel`.
    pub fn echo<T>(channel: &T, every: Duration) -> Self
    where
        T: GrpcService<Body> + Clone + Send + Sync + 'static,
        T::Future: Send,
        T::Error: Into<StdError>,
        T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
        <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
    {
        let channel = channel.clone();
        Self::start(every, move || {
            let mut client = EchoClient::new(channel.clone());
            async move {
                let response =
                    client.unary(Message::new("load")).await.map_err(|status| status.to_string())?;
                let name = response.metadata().get(NAME_HEADER).and_then(|name| name.to_str().ok());
                Ok(name.unwrap_or_default().to_owned())
            }
        })
    }

    /// What came of the calls that are over.
    #[must_use]
    pub fn so_far(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins no more calls and waits for those that are under way.
    ///
    /// # Panics
    ///
    /// If a call panicked.
    pub async fn finish(mut self) -> Record {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("the load did not end well");
        self.so_far()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Record {
    /// How many calls each server answered that began at `since` or later.
    #[must_use]
    pub fn shares(&self, since: Instant) -> BTreeMap<&str, usize> {
        let mut shares = BTreeMap::new();
        for (_, server) in self.answers.iter().filter(|(began, _)| *began >= since) {
            *shares.entry(server.as_str()).or_default() += 1;
        }
        shares
    }
}

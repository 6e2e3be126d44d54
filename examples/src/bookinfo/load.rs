//! A steady load on the front page, and what came of it.

use super::services::{END_USER, PRODUCT_PAGE, REVIEWS_VERSION};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use mesh_core::clock::{Instant, now};
use mesh_core::error::Chain;
use mesh_hyper::Client;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, timeout};

/// One page in so many is for this user.
const JASON_EVERY: u64 = 4;
/// Pages that are under way at the same time: on a machine that is too slow for the rate, the load waits instead of piling up.
const MAX_IN_FLIGHT: usize = 32;
/// How long a page may take that is under way at the end.
const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const JASON: &str = "jason";

/// A steady load. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Load {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: watch::Sender<bool>,
    /// Ends with the number of pages that nothing came of.
    task: JoinHandle<usize>,
}

/// What came of one page.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    began: Instant,
    jason: bool,
    latency: Duration,
    /// The version of the reviews on the page, or why there is no page.
    outcome: Result<String, String>,
}

/// What came of the pages of a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// By version of the reviews.
    pub(super) jason: BTreeMap<String, usize>,
    pub(super) others: BTreeMap<String, usize>,
    pub(super) failures: Vec<String>,
    /// Sorted.
    latencies: Vec<Duration>,
    span: Duration,
}

impl Load {
    /// Asks for so many pages in a second, whether or not those before have come, unless too many have not.
    pub(super) fn start(client: Client, rate: u32) -> Self {
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let results = samples.clone();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut pages = JoinSet::new();
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut lost = 0;
            for number in 0.. {
                ticks.tick().await;
                if *stopped.borrow() {
                    break;
                }
                let (client, results) = (client.clone(), results.clone());
                pages.spawn(async move {
                    let sample = page(&client, number % JASON_EVERY == 0).await;
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                });
                while pages.len() >= MAX_IN_FLIGHT
                    && let Some(page) = pages.join_next().await
                {
                    lost += usize::from(page.is_err());
                }
                while let Some(page) = pages.try_join_next() {
                    lost += usize::from(page.is_err());
                }
            }
            while let Ok(Some(page)) = timeout(PATIENCE, pages.join_next()).await {
                lost += usize::from(page.is_err());
            }
            lost + pages.len()
        });
        Self { samples, stop, task }
    }

    /// Asks for no more pages and waits for those that are under way; says how many nothing came of.
    pub(super) async fn finish(&mut self) -> usize {
        self.stop.send_replace(true);
        (&mut self.task).await.unwrap_or(1)
    }

    /// The number of pages asked for since `since` that are there, or have failed.
    pub(super) fn count(&self, since: Instant) -> usize {
        self.lock().iter().rev().filter(|sample| sample.began >= since).count()
    }

    /// The pages asked for since `since` that are there, or have failed.
    pub(super) fn since(&self, since: Instant) -> Summary {
        let samples = self.lock();
        Summary::of(
            samples.iter().filter(|sample| sample.began >= since),
            now().saturating_duration_since(since),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(client: &Client, jason: bool) -> Sample {
    let began = now();
    let outcome = async {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = http::Uri::from_static(PRODUCT_PAGE);
        if jason {
            request.headers_mut().insert(END_USER, http::HeaderValue::from_static(JASON));
        }
        let response = client.request(request).await.map_err(|error| Chain(&error).to_string())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.map_err(|error| Chain(&error).to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body.to_bytes())));
        }
        let version = headers.get(REVIEWS_VERSION).and_then(|version| version.to_str().ok());
        version.map(str::to_owned).ok_or_else(|| "a page without reviews".to_owned())
    };
    let outcome = outcome.await;
    Sample { began, jason, latency: now() - began, outcome }
}

impl Summary {
    fn of<'a>(samples: impl Iterator<Item = &'a Sample>, span: Duration) -> Self {
        let mut summary = Self { span, ..Self::default() };
        for sample in samples {
            let versions = if sample.jason { &mut summary.jason } else { &mut summary.others };
            match &sample.outcome {
                Ok(version) => *versions.entry(version.clone()).or_default() += 1,
                Err(why) => summary.failures.push(why.clone()),
            }
            summary.latencies.push(sample.latency);
        }
        summary.latencies.sort_unstable();
        summary
    }

    /// Pages, failed ones included.
    pub(super) fn len(&self) -> usize {
        self.latencies.len()
    }

    /// Pages with this version of the reviews.
    pub(super) fn with(&self, version: &str) -> usize {
        [&self.jason, &self.others].iter().filter_map(|versions| versions.get(version)).sum()
    }

    /// The share of the pages that did not fail.
    pub(super) fn success(&self) -> f64 {
        1.0 - self.failures.len() as f64 / self.len().max(1) as f64
    }

    /// Pages in a second.
    pub(super) fn rate(&self) -> f64 {
        self.len() as f64 / self.span.as_secs_f64().max(1e-3)
    }

    /// The latency that a share of the pages did not exceed.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.len() as f64).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

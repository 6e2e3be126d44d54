//! Reads files that may hang, as those of a network file system or pipes do.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads files beside the runtime, one at a time: one that hangs costs one thread, however often it is tried again. The runtime
/// has a limited number of them, for everybody. Clones take turns with each other.
#[derive(Clone, Debug)]
pub struct FileReads {
    turn: Arc<Semaphore>,
}

impl FileReads {
    /// Has `read` run once its turn comes, and then to its end even if nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = self.turn.clone().acquire_owned().await;
        let read = move || {
            let _turn = turn;
            read()
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| "the runtime is shutting down".to_owned())
    }
}

impl Default for FileReads {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

/// What has files read is no part of what it is.
impl PartialEq for FileReads {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for FileReads {}

impl Hash for FileReads {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::task::Poll;

    #[tokio::test]
    async fn while_one_hangs_no_other_begins() {
        let reads = FileReads::default();
        let ended = Arc::<AtomicBool>::default();
        let (go, wait) = mpsc::channel::<()>();
        let (first, ends) = (reads.clone(), ended.clone());
        tokio::spawn(async move {
            let hang = move || {
                let _ = wait.recv();
                ends.store(true, Ordering::SeqCst);
            };
            first.run(hang).await
        });
        tokio::task::yield_now().await;
        let mut second = pin!(reads.run(move || ended.load(Ordering::SeqCst)));
        let waits = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
        drop(go);
        assert!(waits && second.await.unwrap());
    }
}

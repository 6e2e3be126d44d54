//! The tasks of one mesh, so that none outlives it.

use std::future::Future;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks that end when the mesh does. Cheap to clone; needs a tokio runtime.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Tasks {
    /// Runs `future` until it is done or the mesh ends, whichever comes first.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let stop = self.stop.clone();
        let task = async move {
            stop.run_until_cancelled(future).await;
        };
        self.tracker.spawn(task).abort_handle()
    }

    /// Runs `future` until it is done, even if the mesh ends: for connections and what else serves a request, which end
    /// with the last request. Only [`kill`](Self::kill) ends it before.
    pub fn spawn_to_end(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let kill = self.kill.clone();
        let task = async move {
            kill.run_until_cancelled(future).await;
        };
        self.tracker.spawn(task).abort_handle()
    }

    /// Tells every task to end that does not serve a request.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Tells every task to end.
    pub fn kill(&self) {
        self.stop.cancel();
        self.kill.cancel();
    }

    /// Whether the tasks were told to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tasks that have not ended yet.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Waits for every task to end, but not longer than `limit`; whether they all did.
    pub async fn ended(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_every_task() {
        let tasks = Tasks::default();
        tasks.spawn(pending());
        tasks.spawn(pending());
        assert_eq!(tasks.count(), 2);
        assert!(!tasks.ended(Duration::from_secs(1)).await);
        tasks.stop();
        assert!(tasks.is_stopped());
        assert!(tasks.ended(Duration::from_secs(1)).await);
        assert_eq!(tasks.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_serves_a_request_ends_last() {
        let tasks = Tasks::default();
        tasks.spawn_to_end(pending());
        tasks.stop();
        assert!(!tasks.ended(Duration::from_secs(1)).await);
        tasks.kill();
        assert!(tasks.ended(Duration::from_secs(1)).await);
    }
}

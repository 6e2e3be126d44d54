//! The tasks of one mesh, so that none outlives it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks that end when the mesh does. Cheap to clone; needs a tokio runtime.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Those that serve requests. They are aborted and not told, so that they need not listen each time they run.
    serving: Arc<Mutex<Serving>>,
}

#[derive(Debug, Default)]
struct Serving {
    handles: Vec<AbortHandle>,
    /// The number of handles at which those of tasks that have ended are swept out.
    sweep_at: usize,
    killed: bool,
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
        let handle = self.tracker.spawn(future).abort_handle();
        let mut serving = self.lock();
        if serving.killed {
            handle.abort();
        } else {
            if serving.handles.len() >= serving.sweep_at {
                serving.handles.retain(|handle| !handle.is_finished());
                serving.sweep_at = (2 * serving.handles.len()).max(64);
            }
            serving.handles.push(handle.clone());
        }
        handle
    }

    /// Runs `future` until it is done, whatever happens, and with it [`ended`](Self::ended): for what has to be written before
    /// the mesh is gone. It must not last.
    pub fn spawn_to_finish(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(future);
    }

    /// Tells every task to end that does not serve a request.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends every task.
    pub fn kill(&self) {
        self.stop.cancel();
        let mut serving = self.lock();
        serving.killed = true;
        serving.handles.drain(..).for_each(|handle| handle.abort());
    }

    fn lock(&self) -> MutexGuard<'_, Serving> {
        // The lock is never held where something can panic.
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the tasks were told to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the tasks are told to end.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
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

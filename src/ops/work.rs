//! Work that may block: the seam between a task and the threads that do it.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;

/// Who does work that may block.
pub trait Worker: Send + Sync {
    /// Does the work where it holds up nobody; ready when it is done. Dropping the future does not stop work that has
    /// begun.
    fn start(&self, work: Work) -> Working;
}

/// Something to be done, once.
pub type Work = Box<dyn FnOnce() + Send>;

/// Until the work is done.
pub type Working = Pin<Box<dyn Future<Output = Result<(), Panic>> + Send>>;

/// What the work has panicked with.
pub type Panic = Box<dyn Any + Send>;

/// The threads that the runtime keeps for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostWorker;

impl Worker for HostWorker {
    fn start(&self, work: Work) -> Working {
        let working = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            match working.await {
                Ok(()) => Ok(()),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => Err(panic),
                    // It was never begun: the runtime is ending, and this task with it.
                    Err(_) => std::future::pending().await,
                },
            }
        })
    }
}

/// Has `work` done by `worker`, and gives what comes of it.
///
/// # Errors
/// What it has panicked with.
pub async fn done<T: Send + 'static>(
    worker: &dyn Worker,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panic> {
    let (give, given) = oneshot::channel();
    // Whoever waited for it may be gone.
    worker.start(Box::new(move || drop(give.send(work())))).await?;
    match given.await {
        Ok(result) => Ok(result),
        // A worker that ends without having done the work is ending for good.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_work_gives_or_panics_with_comes_back() {
        assert_eq!(done(&HostWorker, || 7).await.unwrap(), 7);
        let panic = done(&HostWorker, || -> () { panic!("seen") }).await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"seen"));
    }
}

//! The bus within one process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use senlin_core::ids::ActionId;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Answer, Bus, BusError, CallError, Hint, Hints, Reply, Request};

/// Hints that wait at most; more are dropped, as a hint may be.
const DEPTH: usize = 1024;

type PendingRequest = (Request, oneshot::Sender<Reply>);

/// The bus within one process.
pub struct LocalBus {
    hints_in: Mutex<Option<mpsc::Sender<Hint>>>,
    hints_out: Arc<AsyncMutex<mpsc::Receiver<Hint>>>,
    requests_in: mpsc::Sender<PendingRequest>,
    requests_out: Arc<AsyncMutex<mpsc::Receiver<PendingRequest>>>,
    engines: Arc<std::sync::atomic::AtomicUsize>,
    queues: Mutex<std::collections::HashMap<String, Vec<String>>>,
    closed: CancellationToken,
}

impl LocalBus {
    /// Everything that was put into a queue, which is empty afterwards.
    pub fn drain(&self, queue: &str) -> Vec<String> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.remove(queue).unwrap_or_default()
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        let (hints_in, hints_out) = mpsc::channel(DEPTH);
        let (requests_in, requests_out) = mpsc::channel(DEPTH);
        Self {
            hints_in: Mutex::new(Some(hints_in)),
            hints_out: Arc::new(AsyncMutex::new(hints_out)),
            requests_in,
            requests_out: Arc::new(AsyncMutex::new(requests_out)),
            engines: Arc::default(),
            queues: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }
}

#[async_trait::async_trait]
impl Bus for LocalBus {
    fn wake(&self, actions: &[ActionId], request_id: &str) {
        let hint = Hint {
            actions: actions.to_vec(),
            request_id: request_id.to_owned(),
        };
        if let Some(sender) = &*self.hints_in.lock().unwrap_or_else(PoisonError::into_inner)
            && sender.try_send(hint).is_err()
        {
            tracing::debug!("a hint was dropped; the sweeper will find what it was for");
        }
    }

    async fn hints(&self) -> Result<Hints, BusError> {
        let (sender, receiver) = mpsc::channel(1);
        let source = self.hints_out.clone();
        let closed = self.closed.clone();
        tokio::spawn(async move {
            loop {
                // One listener at a time waits; each hint goes to one of them.
                let hint = tokio::select! {
                    () = closed.cancelled() => return,
                    () = sender.closed() => return,
                    hint = async { source.lock().await.recv().await } => hint,
                };
                let Some(hint) = hint else { return };
                if sender.send(hint).await.is_err() {
                    return;
                }
            }
        });
        Ok(Hints(receiver))
    }

    async fn call(&self, request: Request, deadline: Duration) -> Result<Reply, CallError> {
        if self.closed.is_cancelled() {
            return Err(CallError::Unavailable);
        }
        if self.engines.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            return Err(CallError::NoEngine);
        }
        let (sender, receiver) = oneshot::channel();
        self.requests_in
            .try_send((request, sender))
            .map_err(|_source| CallError::Unavailable)?;
        match tokio::time::timeout(deadline, receiver).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(CallError::NoEngine),
            Err(_) => Err(CallError::TimedOut(deadline)),
        }
    }

    async fn serve(&self, answer: Arc<dyn Answer>, stop: CancellationToken) -> Result<(), BusError> {
        self.engines.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let running = TaskTracker::new();
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => break,
                () = self.closed.cancelled() => break,
                asked = async { self.requests_out.lock().await.recv().await } => asked,
            };
            let Some((request, reply)) = asked else { break };
            if reply.is_closed() {
                continue;
            }
            let answer = answer.clone();
            running.spawn(async move {
                let _ = reply.send(answer.answer(request).await);
            });
        }
        self.engines.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        running.close();
        running.wait().await;
        Ok(())
    }

    async fn put(&self, queue: &str, text: String, _: u32) -> Result<(), CallError> {
        if self.closed.is_cancelled() {
            return Err(CallError::Unavailable);
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(queue.to_owned()).or_default().push(text);
        Ok(())
    }

    fn connected(&self) -> bool {
        !self.closed.is_cancelled()
    }

    async fn close(&self) {
        self.closed.cancel();
        self.hints_in.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

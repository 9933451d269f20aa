//! The statements that run: one at a time under each query id, ended when their client leaves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Server;
use super::exception::{Exception, code};

/// Held by the answer of a statement. Dropped before the statement has finished, that is when the
/// client has left, it has the engine kill the statement if it reads.
pub(crate) struct Running {
    server: Arc<Server>,
    /// By which the engine finds this very statement, and not a later one under the same id.
    pub(crate) mark: String,
    finished: Finished,
}

/// Set by the thread that runs the statement when the engine is done with it, before the client can know;
/// from then on the id is free and nothing is killed.
#[derive(Clone)]
pub(crate) struct Finished {
    server: Arc<Server>,
    id: String,
    /// Locked while the engine is told to kill: what follows in the same session must not be hit.
    done: Arc<Mutex<bool>>,
}

impl Running {
    /// # Errors
    /// A statement of this id runs already.
    pub(crate) fn register(server: &Arc<Server>, id: String) -> Result<Self, Exception> {
        if !server.running().insert(id.clone()) {
            let message = format!("Query with id = {id} is already running");
            return Err(Exception::new(code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, message));
        }
        let finished = Finished { server: Arc::clone(server), id: id.clone(), done: Arc::default() };
        Ok(Self { server: Arc::clone(server), mark: uuid::Uuid::new_v4().to_string(), finished })
    }

    pub(crate) fn finished(&self) -> Finished {
        self.finished.clone()
    }
}

impl Finished {
    pub(crate) fn set(&self) {
        let mut done = self.done();
        if !*done {
            *done = true;
            self.server.running().remove(&self.id);
        }
    }

    fn done(&self) -> MutexGuard<'_, bool> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (server, mark, finished) = (Arc::clone(&self.server), self.mark.clone(), self.finished.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || {
                let done = finished.done();
                if !*done {
                    server.engine.kill(&mark);
                }
            });
        }
    }
}

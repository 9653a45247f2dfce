//! The store, asked by many at once without anybody waiting long.
//!
//! ```text
//! request ─▶ a place is free? ─▶ one of a few connections, on a thread beside the server's ─▶ answer
//!                 └─ no, for too long ─▶ "busy"
//! ```
//!
//! However many requests come, no more than [`N_ASKING`] ask the store at once: a flood waits here, in
//! front of the store, and the line's writer never waits for it. Connections look only; verdicts go
//! through another one, which is opened when the first comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::Store;
use tokio::sync::Semaphore;

use super::refusal::Refusal;
use crate::serve::N_ASKING;

/// How long a request waits for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store by its address, and connections to it that wait for work.
pub(super) struct Stores {
    url: String,
    places: Arc<Semaphore>,
    looking: Arc<Mutex<Vec<Store>>>,
    writing: Arc<Mutex<Option<Store>>>,
}

impl Stores {
    /// The store at `url`.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            places: Arc::new(Semaphore::new(N_ASKING)),
            looking: Arc::default(),
            writing: Arc::default(),
        }
    }

    /// What `ask` finds.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (url, looking) = (self.url.clone(), Arc::clone(&self.looking));
        self.beside(move || {
            let idle = (looking.lock().unwrap_or_else(PoisonError::into_inner)).pop();
            let store = idle.map_or_else(|| Store::open_existing(&url), Ok)?;
            let found = ask(&store);
            // One that has failed is not asked again: its server may be gone.
            if !matches!(found, Err(Refusal::Inner(_))) {
                let mut looking = looking.lock().unwrap_or_else(PoisonError::into_inner);
                looking.push(store);
            }
            found
        })
        .await
    }

    /// What `write` did; one at a time.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Store) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (url, writing) = (self.url.clone(), Arc::clone(&self.writing));
        self.beside(move || {
            let mut writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut store = match writing.take() {
                Some(store) => store,
                None => Store::open(&url)?,
            };
            let done = write(&mut store);
            if !matches!(done, Err(Refusal::Inner(_))) {
                *writing = Some(store);
            }
            done
        })
        .await
    }

    /// Does `work` on a thread where it may wait.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(PATIENCE, place).await;
        let Ok(Ok(place)) = place else {
            return Err(Refusal::Busy);
        };
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.unwrap_or_else(|_| Err(Refusal::Failed))
    }
}

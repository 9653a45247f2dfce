//! A fixed number of frame buffers of a fixed size.
//!
//! `take` lends a buffer and blocks while all are out; a dropped [`Buffer`] goes home
//! and wakes one waiter. Memory is therefore flat however long the roll is, and a slow
//! line holds its source back. `close` wakes everyone who waits: from then on `take`
//! gives `None`. The pool never grows, and a buffer's old pixels are not wiped.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lends buffers. Clones lend from the same stock.
#[derive(Clone, Debug)]
pub struct Pool {
    home: Arc<Home>,
}

/// Memory for one frame; goes home to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    /// Backed by `u16`, so that 16 bit rows are aligned.
    samples: Vec<u16>,
    n_bytes: usize,
    /// `None` for a buffer that stands alone.
    home: Option<Arc<Home>>,
}

#[derive(Debug)]
struct Home {
    n_buffers: usize,
    n_bytes: usize,
    stock: Mutex<Stock>,
    came_home: Condvar,
}

#[derive(Debug)]
struct Stock {
    idle: Vec<Vec<u16>>,
    closed: bool,
}

impl Pool {
    /// A pool of `n_buffers` (at least one) buffers of `n_bytes` each.
    pub fn new(n_buffers: usize, n_bytes: usize) -> Self {
        let n_buffers = n_buffers.max(1);
        let idle = (0..n_buffers).map(|_| memory(n_bytes)).collect();
        Self {
            home: Arc::new(Home {
                n_buffers,
                n_bytes,
                stock: Mutex::new(Stock {
                    idle,
                    closed: false,
                }),
                came_home: Condvar::new(),
            }),
        }
    }

    /// A buffer; blocks while all are out. `None` once the pool is closed.
    pub fn take(&self) -> Option<Buffer> {
        self.take_until(None)
    }

    /// A buffer, if one comes home within `wait`. `None` after that or once the pool is closed.
    pub fn take_within(&self, wait: Duration) -> Option<Buffer> {
        self.take_until(Instant::now().checked_add(wait))
    }

    /// A buffer, if one is at home now. `None` also once the pool is closed.
    pub fn try_take(&self) -> Option<Buffer> {
        self.take_within(Duration::ZERO)
    }

    /// Ends the lending: every present and future `take` gives `None`. Buffers that are
    /// out stay good until they are dropped.
    pub fn close(&self) {
        self.home.stock().closed = true;
        self.home.came_home.notify_all();
    }

    /// True once the lending has ended.
    pub fn is_closed(&self) -> bool {
        self.home.stock().closed
    }

    /// How many buffers the pool owns.
    pub fn n_buffers(&self) -> usize {
        self.home.n_buffers
    }

    /// Bytes of each buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.home.n_bytes
    }

    /// How many buffers are out now: the pool's depth gauge.
    pub fn n_out(&self) -> usize {
        self.home.n_buffers - self.home.stock().idle.len()
    }

    /// `deadline` of `None` waits for ever.
    fn take_until(&self, deadline: Option<Instant>) -> Option<Buffer> {
        let mut stock = self.home.stock();
        loop {
            if stock.closed {
                return None;
            }
            if let Some(samples) = stock.idle.pop() {
                let home = Some(Arc::clone(&self.home));
                return Some(Buffer {
                    samples,
                    n_bytes: self.home.n_bytes,
                    home,
                });
            }
            stock = match deadline {
                None => self
                    .home
                    .came_home
                    .wait(stock)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let woken = self.home.came_home.wait_timeout(stock, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Buffer {
    /// A buffer of `n_bytes` that belongs to no pool; its memory is freed on drop.
    pub fn alone(n_bytes: usize) -> Self {
        Self {
            samples: memory(n_bytes),
            n_bytes,
            home: None,
        }
    }

    /// All bytes of the buffer; its start is aligned for `u16`.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.samples)[..self.n_bytes]
    }

    /// All bytes of the buffer, for writing. What an earlier frame left is still there.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.samples)[..self.n_bytes]
    }

    /// The same memory as 16 bit samples, native-endian.
    pub(crate) fn samples(&self) -> &[u16] {
        &self.samples
    }

    /// The same memory as 16 bit samples, for writing.
    pub(crate) fn samples_mut(&mut self) -> &mut [u16] {
        &mut self.samples
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.stock().idle.push(std::mem::take(&mut self.samples));
            home.came_home.notify_one();
        }
    }
}

impl Home {
    /// A thread that panicked while it held the lock left the stock whole: each change
    /// to it is one step.
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memory(n_bytes: usize) -> Vec<u16> {
    vec![0; n_bytes.div_ceil(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_comes_home() {
        let pool = Pool::new(2, 8);
        let first = pool.take().unwrap();
        let second = pool.take().unwrap();
        assert_eq!(pool.n_out(), 2);
        drop(first);
        assert_eq!(pool.n_out(), 1);
        drop(second);
        assert_eq!(pool.n_out(), 0);
    }

    #[test]
    fn memory_is_used_again_and_never_grows() {
        let pool = Pool::new(1, 6);
        let place = pool.take().unwrap().bytes().as_ptr();
        for _ in 0..100 {
            assert_eq!(pool.take().unwrap().bytes().as_ptr(), place);
        }
    }

    #[test]
    fn an_empty_pool_gives_nothing_within_the_wait() {
        let pool = Pool::new(1, 8);
        let _out = pool.take().unwrap();
        assert!(pool.take_within(Duration::from_millis(1)).is_none());
    }

    #[test]
    fn a_try_takes_what_is_at_home_and_waits_for_nothing() {
        let pool = Pool::new(1, 8);
        let out = pool.try_take().unwrap();
        assert!(pool.try_take().is_none());
        drop(out);
        assert!(pool.try_take().is_some() && !pool.is_closed());
        pool.close();
        assert!(pool.try_take().is_none() && pool.is_closed());
    }

    #[test]
    fn a_waiter_gets_the_buffer_that_comes_home() {
        let pool = Pool::new(1, 8);
        let out = pool.take().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.take().is_some());
            drop(out);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn closing_wakes_a_waiter_with_nothing() {
        let pool = Pool::new(1, 8);
        let _out = pool.take().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.take().is_none());
            pool.close();
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn an_odd_size_is_kept_to_the_byte() {
        assert_eq!(Pool::new(1, 7).take().unwrap().bytes_mut().len(), 7);
    }
}

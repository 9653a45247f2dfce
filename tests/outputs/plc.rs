//! A Modbus TCP device that remembers what was written to it and tells of it.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};

use super::PATIENCE;

/// Something that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A coil.
    Coil(u16, bool),
    /// Registers from an address on.
    Registers(u16, Vec<u16>),
}

/// A device that ends, with all its connections, when it is dropped.
pub(crate) struct Plc {
    pub(crate) writes: Receiver<(Instant, Write)>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Memory(Sender<(Instant, Write)>);

impl Plc {
    pub(crate) fn start(port: u16) -> Self {
        // More than any test writes: a device never waits for who reads of it.
        let (tell, writes) = bounded(100_000);
        let (end, ended) = oneshot::channel();
        let (ready, is_ready) = bounded(1);
        let thread = std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let server = Server::new(TcpListener::bind(address).await.unwrap());
                ready.send(()).unwrap();
                let connected = |stream, _| {
                    let memory = Memory(tell.clone());
                    async move { Ok(Some((memory, stream))) }
                };
                let end = async move {
                    drop(ended.await);
                };
                server.serve_until(&connected, |_| {}, end).await.unwrap();
            });
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        Self {
            writes,
            end: Some(end),
            thread: Some(thread.unwrap()),
        }
    }

    /// Waits until this is written, and gives when.
    pub(crate) fn wait_for(&self, wanted: &Write) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((at, write)) = self.writes.recv_timeout(left) else {
                panic!("{wanted:?} was not written");
            };
            if write == *wanted {
                return at;
            }
        }
    }

    /// The next write to a coil or register, if one comes within `patience`.
    pub(crate) fn next_to(&self, place: u16, patience: Duration) -> Option<(Instant, Write)> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, write) = self.writes.recv_timeout(left).ok()?;
            let (Write::Coil(to, _) | Write::Registers(to, _)) = &write;
            if *to == place {
                return Some((at, write));
            }
        }
    }
}

impl Drop for Plc {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

impl Service for Memory {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else there is, it is not asked for"
    )]
    fn call(&self, request: Self::Request) -> Self::Future {
        let (write, response) = match request {
            Request::WriteSingleCoil(at, state) => {
                (Write::Coil(at, state), Response::WriteSingleCoil(at, state))
            }
            Request::WriteSingleRegister(at, word) => (
                Write::Registers(at, vec![word]),
                Response::WriteSingleRegister(at, word),
            ),
            Request::WriteMultipleRegisters(at, words) => {
                let n = words.len() as u16;
                (
                    Write::Registers(at, words.into_owned()),
                    Response::WriteMultipleRegisters(at, n),
                )
            }
            other => panic!("found {other:?}, expected writes only"),
        };
        self.0.send((Instant::now(), write)).unwrap();
        ready(Ok(response))
    }
}

//! The server: http, or https with a mill's own certificate.
//!
//! It is bounded in everything that comes from outside: connections at once, how long one may take
//! to say what it wants, how long one may idle. A flood is refused at the door and takes neither files nor
//! memory from a line in the same process, nor its processor: threads that serve pages come after all others.

use std::future::{Ready, ready};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};

/// How often a server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Connections at once.
const MOST_CONNECTIONS: usize = 200;
/// How long a connection may take to say what it wants, and may idle between two requests.
const PATIENCE: Duration = Duration::from_secs(20);
/// Threads on which the store is asked: as many requests are answered from it at once.
pub(crate) const N_ASKING: usize = 4;

/// Files with which a server proves who it is.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates in PEM, its own first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Serves `app` on this thread until `stop` is set; requests that are under way then are cut off.
///
/// # Errors
/// What the system says, or what is wrong with the certificate or its key.
pub fn serve(
    listener: TcpListener,
    app: Router,
    tls: Option<&Tls>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    give_way();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(N_ASKING)
        .on_thread_start(give_way)
        .thread_name("page asks store")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let handle = Handle::new();
        let door = Door(handle.clone());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(listener)?
            .handle(handle)
            .http1_only()
            .first_request_timeout(PATIENCE);
        server
            .http_builder()
            .http1()
            .header_read_timeout(Some(PATIENCE));
        let until_stopped = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        match tls {
            None => {
                tokio::select! {
                    served = server.acceptor(door).serve(app) => served,
                    stopped = until_stopped => stopped,
                }
            }
            Some(tls) => {
                let config = config(tls).await?;
                let acceptor = RustlsAcceptor::new(config).acceptor(door);
                tokio::select! {
                    served = server.acceptor(acceptor).serve(app) => served,
                    stopped = until_stopped => stopped,
                }
            }
        }
    })
}

/// How far pages stand behind a line in the same process when both want a processor.
const NICENESS: i32 = 10;

/// Lets everybody else have the processor first, on this thread alone.
fn give_way() {
    // On Linux this is of the thread that asks, not of its process.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "pages cannot stand behind the line: they share the processor alike");
    }
}

async fn config(Tls { certificate, key }: &Tls) -> std::io::Result<RustlsConfig> {
    // Another server of this process may have chosen it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    RustlsConfig::from_pem_file(certificate, key)
        .await
        .map_err(|error| {
            std::io::Error::new(
                error.kind(),
                format!(
                    "certificate {certificate:?} with key {key:?} cannot be used: {error}; expected PEM files that belong together"
                ),
            )
        })
}

/// Lets in so many and no more.
#[derive(Clone)]
struct Door(Handle<SocketAddr>);

impl<I, S> Accept<I, S> for Door {
    type Stream = I;
    type Service = S;
    type Future = Ready<std::io::Result<(I, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        ready(if self.0.connection_count() > MOST_CONNECTIONS {
            Err(std::io::Error::other("too many connections at once"))
        } else {
            Ok((stream, service))
        })
    }
}

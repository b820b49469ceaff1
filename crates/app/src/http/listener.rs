//! Listeners: actix's server and HTTP/1.1 on connections of our own.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{ConnectionType, HttpService, Payload, Protocol, Request};
use actix_server::{ServerBuilder, ServerHandle};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::Error;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::rt::net::TcpStream;
use anyhow::Context;
use socket2::{Domain, Socket, Type};
use tokio::task::JoinHandle;

use crate::http::connection::places::Places;
use crate::http::connection::{Connection, Progress};
use crate::telemetry::CONNECTIONS_REJECTED;

/// Maximum time for which sent data may stay unacknowledged by a client.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// Maximum connections in the accept queue. A client beyond it may wait for minutes on a half-open connection.
const BACKLOG_MAX: i32 = 4_096;

/// Maximum connections of a worker.
const CONNECTIONS_MAX: usize = 10_000;
/// Maximum connections of the listener of metrics.
pub const METRICS_CONNECTIONS_MAX: usize = 32;
/// Open files of each worker, and of each connection to the database: SQLite has three.
const FILES_PER_WORKER: usize = 4;
const FILES_PER_DATABASE_CONNECTION: usize = 3;
/// Open files besides: log, signals, connections to other services, and the database's other pools.
const OTHER_FILES: usize = 64;

/// The limits of the connections of a listener.
#[derive(Clone)]
pub struct ConnectionLimits {
    /// Of a head, of the rest of an unread body, and of a close.
    pub timeout: Duration,
    /// The maximum silence between two requests.
    pub keep_alive: Duration,
    pub places: Places,
}

/// A running server, and the handle that stops it.
pub type RunningServer = (JoinHandle<std::io::Result<()>>, ServerHandle);

/// Binds the address of a setting.
///
/// # Errors
/// An address that cannot be bound.
pub fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG_MAX)?;
        socket.set_nonblocking(true)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    listen().with_context(|| format!("{setting}: cannot listen on {address}"))
}

/// The maximum connections of each of the API's workers: callers never take the open files that the database needs. More
/// of them wait in the accept queue.
pub fn connections_max(open_files_max: usize, workers: usize, database_connections: u32) -> usize {
    let database = FILES_PER_DATABASE_CONNECTION.saturating_mul(database_connections as usize);
    let others = database.saturating_add(FILES_PER_WORKER * workers + METRICS_CONNECTIONS_MAX + OTHER_FILES);
    (open_files_max.saturating_sub(others) / workers).clamp(1, CONNECTIONS_MAX)
}

/// Serves the application on a listener, without signal handlers of its own.
///
/// # Errors
/// A listener that cannot be used.
pub fn serve<F, I, S, B>(
    builder: ServerBuilder,
    listener: TcpListener,
    limits: ConnectionLimits,
    application: F,
) -> anyhow::Result<RunningServer>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = Error, InitError = ()>
        + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let shutdown = builder.graceful_shutdown_signal();
    let service = move || {
        let ConnectionLimits { timeout, keep_alive, places } = limits.clone();
        let shutdown = shutdown.clone();
        let application = map_config(application(), |()| AppConfig::default());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .keep_alive(keep_alive)
            // The connection bounds every head, not only the first one.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(timeout)
            .on_connect_ext(|connection: &Connection<TcpStream>, data| drop(data.insert(connection.progress())))
            .finish(apply_fn_factory(application, |request, application: &S::Service| respond(request, application)));
        fn_service(move |stream: TcpStream| ready(accept(stream, timeout, &places))).and_then(http)
    };
    let server = builder.disable_signals().listen("http", listener, service)?.run();
    let handle = server.handle();
    Ok((tokio::spawn(server), handle))
}

type Accepted = (Connection<TcpStream>, Protocol, Option<SocketAddr>);

/// A connection, unless its client has too many of them.
fn accept(stream: TcpStream, timeout: Duration, places: &Places) -> Result<Accepted, DispatchError> {
    let peer = stream.peer_addr()?;
    let Some(place) = places.take(peer.ip()) else {
        metrics::counter!(CONNECTIONS_REJECTED).increment(1);
        return Err(DispatchError::DisconnectTimeout);
    };
    limit_unacknowledged(&stream);
    Ok((Connection::new(stream, timeout, place), Protocol::Http1, Some(peer)))
}

/// Responds to a request, and reports its progress to its connection.
fn respond<S, B>(
    mut request: Request,
    application: &S,
) -> impl Future<Output = Result<ServiceResponse<B>, Error>> + use<S, B>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
{
    let has_body = !matches!(request.payload(), Payload::None);
    let progress = request.conn_data::<Rc<Progress>>().cloned();
    if let Some(progress) = &progress {
        progress.begin(has_body);
    }
    let responding = application.call(request);
    async move {
        let mut response = responding.await;
        if progress.is_some_and(|progress| progress.end())
            && let Ok(response) = &mut response
        {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}

/// Only Linux has this limit.
#[cfg(not(target_os = "linux"))]
fn limit_unacknowledged(_: &TcpStream) {}

/// Makes the kernel close a connection whose client does not read: actix has no write timeout.
#[cfg(target_os = "linux")]
fn limit_unacknowledged(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)) {
        tracing::debug!(%error, "cannot limit unacknowledged data of a connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_to_the_database() {
        assert_eq!(connections_max(1_024, 2, 16), (1_024 - 48 - 8 - 32 - 64) / 2);
        assert_eq!(connections_max(300, 4, 8), (300 - 24 - 16 - 32 - 64) / 4);
        assert_eq!(connections_max(usize::MAX, 8, 16), 10_000);
        assert_eq!(connections_max(64, 8, u32::MAX), 1);
    }
}

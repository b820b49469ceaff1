use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use anyhow::Context;
use jangteo_data_platform::Destination;
use jangteo_data_platform::mock::{self, Behavior, MockSettings};

use crate::demo::random_key;
use crate::settings::Settings;

/// File of received events, next to an SQLite database or in the working directory.
const EVENTS_FILE: &str = ".jangteo-dev-events.jsonl";

/// A mock data platform in this process.
pub struct DemoDataPlatform {
    address: SocketAddr,
    handle: ServerHandle,
}

/// Starts a mock data platform on the loopback address and directs events to it. Its port is the one after the API's,
/// as in the tour, or any free port if that is in use.
pub fn data_platform(settings: &mut Settings) -> anyhow::Result<DemoDataPlatform> {
    let next_port = settings.bind.port().checked_add(1).filter(|port| *port > 1).unwrap_or_default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, next_port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("no free port for the events of the demo")?;
    let address = listener.local_addr()?;
    let file = settings.database.sibling_file(EVENTS_FILE);
    let secret = settings.data_platform.secret.get_or_insert_with(random_key);
    let receiver =
        MockSettings { secret: Some(secret.clone()), file: Some(file.clone()), behavior: Behavior::default(), seed: 0 };
    let server = mock::serve(listener, receiver).with_context(|| file.display().to_string())?;
    let handle = server.handle();
    tokio::spawn(server);
    settings.data_platform.destination = Some(Destination::parse(&format!("http://{address}/events"), false)?);
    Ok(DemoDataPlatform { address, handle })
}

impl DemoDataPlatform {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

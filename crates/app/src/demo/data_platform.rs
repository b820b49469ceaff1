use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use anyhow::Context;
use jangteo_data_platform::mock::{self, Behaviour, MockSettings};

use crate::demo::in_folder_of_shop;
use crate::settings::Settings;

/// The name of the file with the events that were received, beside an SQLite database, or where the command is run.
const EVENTS_FILE: &str = ".jangteo-dev-events.jsonl";

/// A receiver in this process.
pub struct DemoDataPlatform {
    address: SocketAddr,
    handle: ServerHandle,
}

/// Starts a receiver on the loopback, and has events sent to it. It listens on the port after the API's, so that it is
/// where the tour looks for it, or where that is taken on any that is free.
pub fn data_platform(settings: &mut Settings) -> anyhow::Result<DemoDataPlatform> {
    let next_port = settings.bind.port().checked_add(1).filter(|port| *port > 1).unwrap_or_default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, next_port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("no free port for the events of the demo")?;
    let address = listener.local_addr()?;
    let file = in_folder_of_shop(settings, EVENTS_FILE);
    let receiver = MockSettings {
        secret: settings.data_platform.secret.clone(),
        file: Some(file.clone()),
        behaviour: Behaviour::default(),
        seed: 0,
    };
    let server = mock::serve(listener, receiver).with_context(|| file.display().to_string())?;
    let handle = server.handle();
    tokio::spawn(server);
    settings.data_platform.url = Some(format!("http://{address}/events").into());
    Ok(DemoDataPlatform { address, handle })
}

impl DemoDataPlatform {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Receives nothing more.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

//! The replica for reads that may lag: one that has a heartbeat of this process that is young enough. Its age is measured
//! by the clock of this process alone.

use std::sync::{Arc, Weak};

use diesel::result::ConnectionResult;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Failed, HEARTBEAT_INTERVAL, HEARTBEAT_MAX, IDENTITY_ATTEMPTS, Topology, bad, locked, open};
use crate::mysql::server::Identity;
use crate::mysql::store::Session;
use crate::mysql::{connect, hosts, session_options};

/// The replica that is fresh.
#[derive(Clone)]
pub(super) struct Replica {
    host: usize,
    identity: Arc<Identity>,
    /// Cancelled when it is not fresh any more.
    lost: CancellationToken,
}

/// Elects a replica while it is fresh.
pub(super) async fn monitor_replicas(topology: Weak<Topology>) {
    let mut connections: Vec<Option<(Conn, Arc<Identity>)>> = Vec::new();
    while let Some(topology) = topology.upgrade() {
        connections.resize_with(topology.replicas.len(), || None);
        let current = locked(&topology.replica).as_ref().map(|replica| replica.host);
        // The current one first, so that it remains while it is fresh.
        let hosts = current.into_iter().chain((0..topology.replicas.len()).filter(|host| Some(*host) != current));
        let mut chosen = Err("there is none".to_owned());
        for host in hosts {
            chosen = topology.check_replica(host, &mut connections[host]).await.map(|identity| (host, identity));
            if chosen.is_ok() {
                break;
            }
            connections[host] = None;
            if Some(host) == current {
                // At once: reads wait for it, and the probes of the others take time.
                topology.set_replica(chosen.clone());
            }
        }
        topology.set_replica(chosen);
        drop(topology);
        sleep(HEARTBEAT_INTERVAL).await;
    }
}

impl Topology {
    /// Whether a replica is fresh.
    pub(in crate::mysql) fn has_replica(&self) -> bool {
        locked(&self.replica).is_some()
    }

    /// Connects to the replica that is fresh. Its name may lead to others too, whose age is not known.
    pub(in crate::mysql) async fn connect_to_replica(&self, session: &[&'static str]) -> ConnectionResult<Session> {
        let replica = locked(&self.replica).clone().ok_or_else(|| bad("no replica is fresh".to_owned()))?;
        let host = &self.replicas[replica.host];
        for _ in 0..IDENTITY_ATTEMPTS {
            let mut session = connect(session_options(host, session)).await?;
            if session.server.identity == replica.identity {
                session.server.lost = replica.lost;
                return Ok(session);
            }
        }
        Err(bad(format!("{} leads to another server", hosts::name(host))))
    }

    /// The server's identity, if it has a young heartbeat.
    async fn check_replica(
        &self,
        host: usize,
        connection: &mut Option<(Conn, Arc<Identity>)>,
    ) -> Result<Arc<Identity>, String> {
        let (connected, identity) = match connection {
            Some(connection) => connection,
            None => {
                let (opened, server) = open(&self.replicas[host]).await.map_err(Failed::into_reason)?;
                connection.insert((opened, server.identity))
            }
        };
        let query = format!("SELECT beat FROM heartbeats WHERE slot = {}", self.slot);
        let read = timeout(HEARTBEAT_MAX, connected.query_first::<u64, _>(query)).await;
        let beat = read.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        let age = beat.and_then(|beat| locked(&self.beats).age(beat));
        match age {
            Some(age) if age <= self.lag_max => Ok(Arc::clone(identity)),
            Some(age) => Err(format!("its last heartbeat is {} ms old", age.as_millis())),
            None => Err("it has no recent heartbeat of this server".to_owned()),
        }
    }

    fn set_replica(&self, chosen: Result<(usize, Arc<Identity>), String>) {
        let mut replica = locked(&self.replica);
        match (&*replica, chosen) {
            (Some(current), Ok((host, identity))) if current.host == host && current.identity == identity => {}
            (None, Err(_)) => {}
            (before, chosen) => {
                if let Some(before) = before {
                    before.lost.cancel();
                }
                *replica = match chosen {
                    Ok((host, identity)) => {
                        let name = hosts::name(&self.replicas[host]);
                        tracing::info!(host = name, server = identity.server, "reads that may lag use a replica");
                        Some(Replica { host, identity, lost: CancellationToken::new() })
                    }
                    Err(cause) => {
                        tracing::warn!(cause, "no replica is fresh: all reads use the primary");
                        None
                    }
                };
            }
        }
    }
}

//! Network namespaces for the nodes of a cluster, so that a test can separate them. They need Linux, root and the program
//! `ip`; nothing outside of them and their bridge is changed.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The network between the nodes of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// Ports of the loopback address. Needs no privileges, but nodes cannot be separated.
    Loopback,
    /// A network namespace for each node, connected by a bridge.
    Namespaces,
}

impl Network {
    /// Whether this user can create such a network.
    pub fn is_available(self) -> bool {
        self == Self::Loopback || Namespaces::create(1).is_ok()
    }
}

/// The connections that a node loses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Separation {
    /// Those to the other nodes.
    FromPeers,
    /// Those to the other nodes and to clients.
    FromAll,
}

/// The namespaces, removed when dropped.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Name of the bridge, and prefix of the namespaces' names.
    name: String,
    /// The first three bytes of all addresses.
    prefix: String,
    count: usize,
}

impl Namespaces {
    pub(crate) fn create(count: usize) -> Result<Self> {
        // At random, so that tests do not share them. The name of an interface has at most 15 characters.
        let prefix = format!("10.{}.{}", rand::random_range(100..200), rand::random_range(0..=255));
        let created = Self { name: format!("jt{:08x}", rand::random::<u32>()), prefix, count };
        let Self { name, prefix, .. } = &created;
        ip(&format!("link add {name} type bridge"))?;
        ip(&format!("addr add {prefix}.1/24 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        for index in 0..count {
            let (node, address) = (created.name(index), created.address(index));
            ip(&format!("netns add {node}"))?;
            ip(&format!("link add {node} type veth peer name eth0 netns {node}"))?;
            ip(&format!("link set {node} master {name} up"))?;
            ip(&format!("-n {node} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {node} link set lo up"))?;
            ip(&format!("-n {node} link set eth0 up"))?;
        }
        Ok(created)
    }

    /// Name of a node's namespace, and of its end of the connection to the bridge.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    pub(crate) fn address(&self, index: usize) -> String {
        format!("{}.{}", self.prefix, 11 + index)
    }

    /// Drops all packets from the node to the others, or from and to it.
    pub(crate) fn separate(&self, index: usize, separation: Separation) -> Result<()> {
        let node = self.name(index);
        match separation {
            Separation::FromAll => ip(&format!("link set {node} down")),
            Separation::FromPeers => (0..self.count)
                .filter(|peer| *peer != index)
                .try_for_each(|peer| ip(&format!("-n {node} route replace blackhole {}/32", self.address(peer)))),
        }
    }

    pub(crate) fn reconnect(&self, index: usize) -> Result<()> {
        let node = self.name(index);
        ip(&format!("link set {node} up"))?;
        ip(&format!("-n {node} route flush type blackhole"))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for index in 0..self.count {
            // One that was not created is absent, and its connection goes with it.
            let _absent = ip(&format!("link del {}", self.name(index)));
            let _absent = ip(&format!("netns del {}", self.name(index)));
        }
        let _absent = ip(&format!("link del {}", self.name));
    }
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("cannot execute ip")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {error}");
    Ok(())
}

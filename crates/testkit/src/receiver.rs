//! The mock data platform of the binary, run as a process.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Client;
use serde_json::{Value, json};

use crate::database::Column;
use crate::scenario::Shop;
use crate::server::{Server, ServerBuilder};

/// Signing key of events.
pub const DATA_PLATFORM_SECRET: &str = "a-secret-that-both-sides-know";

/// A running mock data platform.
pub struct Receiver {
    server: Server,
    client: Client,
}

impl Receiver {
    /// Starts one that verifies signatures and stores events in the test's folder.
    pub async fn start<const N: usize>(shop: &Shop, arguments: [&str; N]) -> Self {
        let file = shop.database().folder().join("received.jsonl");
        let builder = shop.server().setting("DATA_PLATFORM_SECRET", DATA_PLATFORM_SECRET).command("mock-data-platform");
        let builder = builder.arguments(["--bind", "127.0.0.1:0", "--file", file.to_str().expect("UTF-8")]);
        let server = builder.arguments(arguments).start().await;
        Self { server, client: Client::builder().no_proxy().build().expect("a client") }
    }

    /// URL for events.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.server.address())
    }

    /// The server process.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The received events, each once, in order of first receipt, as `{times, event}`.
    pub async fn received(&self) -> Vec<Value> {
        let mut received = Vec::new();
        loop {
            let page = self.get(&format!("/events?after={}", received.len())).await;
            let page = page["data"].as_array().expect("a list").clone();
            if page.is_empty() {
                return received;
            }
            received.extend(page);
        }
    }

    /// Like [`Self::received`], after asserting that the events equal the outbox and are valid, unaltered and in order.
    pub async fn received_all(&self, shop: &Shop) -> Vec<Value> {
        let mut connection = shop.database().connect().await;
        let written = connection.rows("outbox_events", &[Column::Id("id")], |row| row.text().to_lowercase()).await;
        connection.close().await;
        let received = self.received().await;
        let id = |received: &Value| received["event"]["id"].as_str().expect("an id").replace('-', "");
        let written: BTreeSet<String> = written.into_iter().collect();
        assert_eq!(received.iter().map(id).collect::<BTreeSet<_>>(), written, "exactly the events of the outbox");
        assert_eq!(received.len(), written.len(), "each once");
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for received in &received {
            let event = &received["event"];
            let last = last.entry(event["subject"].as_str().expect("an order")).or_default();
            *last += 1;
            assert_eq!(event["sequence"], *last, "out of order: {event}");
        }
        let counters = self.counters().await;
        for fault in ["altered", "unsigned", "bad_envelopes"] {
            assert_eq!(counters[fault], 0, "{counters}");
        }
        received
    }

    /// Number of distinct events.
    pub async fn count(&self) -> usize {
        let total = self.get("/events?limit=0").await["total"].as_u64().expect("a number");
        total.try_into().expect("a number of events")
    }

    /// All counters.
    pub async fn counters(&self) -> Value {
        self.get("/counters").await
    }

    /// A single counter.
    pub async fn counter(&self, name: &str) -> u64 {
        let counters = self.counters().await;
        counters[name].as_u64().unwrap_or_else(|| panic!("no counter {name:?} in {counters}"))
    }

    /// Sets the behavior; missing fields have their defaults.
    pub async fn behave(&self, behavior: Value) {
        let url = format!("http://{}/behavior", self.server.address());
        let response = self.client.put(url).json(&behavior).send().await.expect("the receiver responds");
        assert_eq!(response.status().as_u16(), 200, "{behavior}");
    }

    /// Resets the behavior to success.
    pub async fn behave_well(&self) {
        self.behave(json!({})).await;
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.server.address());
        self.client.get(url).send().await.expect("the receiver responds").json().await.expect("JSON")
    }
}

impl ServerBuilder {
    /// Delivers to this data platform, with short pauses.
    pub fn delivering_to(self, url: impl ToString) -> Self {
        self.setting("DATA_PLATFORM_URL", url)
            .setting("DATA_PLATFORM_SECRET", DATA_PLATFORM_SECRET)
            .setting("DATA_PLATFORM_TIMEOUT", "500ms")
            .setting("DATA_PLATFORM_PAUSE_FIRST", "20ms")
            .setting("DATA_PLATFORM_PAUSE_MAX", "200ms")
    }
}

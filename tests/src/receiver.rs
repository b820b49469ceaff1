//! The data platform of the tests: the binary's own receiver, as a process.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Client;
use serde_json::{Value, json};

use crate::database::Column;
use crate::scenario::Shop;
use crate::server::{Server, ServerBuilder};

/// What events are signed with.
pub const DATA_PLATFORM_SECRET: &str = "a-secret-that-both-sides-know";

/// A receiver that runs.
pub struct Receiver {
    server: Server,
    client: Client,
}

impl Receiver {
    /// Starts one that checks signatures and keeps what it receives in the test's folder.
    pub async fn start<const N: usize>(shop: &Shop, arguments: [&str; N]) -> Self {
        let file = shop.database().folder().join("received.jsonl");
        let builder = shop.server().setting("DATA_PLATFORM_SECRET", DATA_PLATFORM_SECRET).command("mock-data-platform");
        let builder = builder.arguments(["--bind", "127.0.0.1:0", "--file", file.to_str().expect("UTF-8")]);
        let server = builder.arguments(arguments).start().await;
        Self { server, client: Client::builder().no_proxy().build().expect("a client") }
    }

    /// Where events are sent to.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.server.address())
    }

    /// The process.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The events that it received, each once, in the order in which they first came, as `{times, event}`.
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

    /// The same, when they are all that the shop's outbox holds and none invented, each whole, signed and unchanged, and
    /// those of an order in order.
    pub async fn received_all(&self, shop: &Shop) -> Vec<Value> {
        let mut connection = shop.database().connect().await;
        let written = connection.rows("outbox_events", &[Column::Id("id")], |row| row.text().to_lowercase()).await;
        connection.close().await;
        let received = self.received().await;
        let id = |received: &Value| received["event"]["id"].as_str().expect("an id").replace('-', "");
        let written: BTreeSet<String> = written.into_iter().collect();
        assert_eq!(received.iter().map(id).collect::<BTreeSet<_>>(), written, "all of them, and none invented");
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

    /// How many different events it received.
    pub async fn count(&self) -> usize {
        let total = self.get("/events?limit=0").await["total"].as_u64().expect("a number");
        total.try_into().expect("a number of events")
    }

    /// What it counted.
    pub async fn counters(&self) -> Value {
        self.get("/counters").await
    }

    /// How often it counted that.
    pub async fn counter(&self, name: &str) -> u64 {
        let counters = self.counters().await;
        counters[name].as_u64().unwrap_or_else(|| panic!("no counter {name:?} in {counters}"))
    }

    /// Has it behave so from now on; what is not named is as it should be.
    pub async fn behave(&self, behaviour: Value) {
        let url = format!("http://{}/behaviour", self.server.address());
        let answer = self.client.put(url).json(&behaviour).send().await.expect("the receiver answers");
        assert_eq!(answer.status().as_u16(), 200, "{behaviour}");
    }

    /// Has it take everything from now on.
    pub async fn behave_well(&self) {
        self.behave(json!({})).await;
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.server.address());
        self.client.get(url).send().await.expect("the receiver answers").json().await.expect("JSON")
    }
}

impl ServerBuilder {
    /// To deliver to that data platform, without long pauses.
    pub fn delivering_to(self, url: impl ToString) -> Self {
        self.setting("DATA_PLATFORM_URL", url)
            .setting("DATA_PLATFORM_SECRET", DATA_PLATFORM_SECRET)
            .setting("DATA_PLATFORM_TIMEOUT", "500ms")
            .setting("DATA_PLATFORM_PAUSE_FIRST", "20ms")
            .setting("DATA_PLATFORM_PAUSE_MAX", "200ms")
    }
}

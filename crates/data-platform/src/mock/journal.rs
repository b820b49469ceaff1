use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cloud_event::CloudEvent;
use crate::mock::behavior::Fault;

/// Received events, each once, and the counters.
pub(super) struct Journal {
    file: Option<File>,
    received: Vec<Received>,
    place_of: HashMap<Uuid, usize>,
    last_sequence_of: HashMap<String, u32>,
    counters: Counters,
}

/// An event as `GET /events` lists it, once for all its receipts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// Number of receipts, 1 without duplicates.
    pub times: u64,
    /// The event, with the bytes of its first receipt.
    pub event: Box<RawValue>,
}

/// Counters since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Stored events, each counted once.
    pub received: u64,
    /// Events that were received again and dropped.
    pub duplicates: u64,
    /// Events that were received again with another body, an error of the sender.
    pub altered: u64,
    /// Events received before an earlier one of their order, or after a gap; an error of the sender.
    pub out_of_order: u64,
    /// Calls with a missing, invalid or expired signature.
    pub unsigned: u64,
    /// Calls with an invalid envelope.
    pub bad_envelopes: u64,
    /// Calls that failed by configuration.
    pub failed: u64,
    /// Calls that hung by configuration.
    pub hung: u64,
    /// Calls that were throttled by configuration.
    pub throttled: u64,
    /// Calls that were redirected by configuration.
    pub redirected: u64,
    /// Calls whose response was lost by configuration.
    pub answers_lost: u64,
}

impl Journal {
    /// Opens the file and loads its events.
    pub(super) fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let mut journal = Self {
            file: None,
            received: Vec::new(),
            place_of: HashMap::new(),
            last_sequence_of: HashMap::new(),
            counters: Counters::default(),
        };
        if let Some(path) = path {
            journal.load(&path)?;
            journal.file = Some(OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?);
        }
        Ok(journal)
    }

    fn load(&mut self, path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines() {
            let line = line?;
            let event: CloudEvent = serde_json::from_str(&line).map_err(io::Error::from)?;
            self.insert(&event, RawValue::from_string(line).map_err(io::Error::from)?);
        }
        Ok(())
    }

    /// Stores a new event durably, or counts a duplicate.
    pub(super) fn store(&mut self, event: CloudEvent, body: &[u8]) -> io::Result<()> {
        let raw: Box<RawValue> = serde_json::from_slice(body).map_err(io::Error::from)?;
        if let Some(&place) = self.place_of.get(&event.id) {
            let stored = &mut self.received[place];
            stored.times += 1;
            self.counters.duplicates += 1;
            if stored.event.get() != raw.get() {
                self.counters.altered += 1;
            }
            return Ok(());
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", raw.get())?;
            file.sync_data()?;
        }
        self.insert(&event, raw);
        Ok(())
    }

    fn insert(&mut self, event: &CloudEvent, raw: Box<RawValue>) {
        let last = self.last_sequence_of.entry(event.subject.clone()).or_default();
        if event.sequence != *last + 1 {
            self.counters.out_of_order += 1;
        }
        *last = (*last).max(event.sequence);
        self.place_of.insert(event.id, self.received.len());
        self.received.push(Received { times: 1, event: raw });
        self.counters.received += 1;
    }

    pub(super) fn count_fault(&mut self, fault: Option<Fault>) {
        let counter = match fault {
            None => return,
            Some(Fault::Fail) => &mut self.counters.failed,
            Some(Fault::Hang) => &mut self.counters.hung,
            Some(Fault::Throttle) => &mut self.counters.throttled,
            Some(Fault::Redirect) => &mut self.counters.redirected,
            Some(Fault::LoseAnswer) => &mut self.counters.answers_lost,
        };
        *counter += 1;
    }

    pub(super) fn count_unsigned(&mut self) {
        self.counters.unsigned += 1;
    }

    pub(super) fn count_bad_envelope(&mut self) {
        self.counters.bad_envelopes += 1;
    }

    pub(super) fn received(&self) -> &[Received] {
        &self.received
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}

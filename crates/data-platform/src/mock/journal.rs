use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cloud_event::CloudEvent;
use crate::mock::behaviour::Fault;

/// What was received, each event once, and how often what went wrong.
pub(super) struct Journal {
    file: Option<File>,
    received: Vec<Received>,
    place_of: HashMap<Uuid, usize>,
    last_sequence_of: HashMap<String, u32>,
    counters: Counters,
}

/// An event that was received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// How often it came.
    pub times: u64,
    /// The event, to the byte as it came first.
    pub event: Box<RawValue>,
}

/// How often what happened, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Events that were kept.
    pub received: u64,
    /// Events that came again, and were dropped.
    pub duplicates: u64,
    /// Events that came again with another body: the sender is wrong.
    pub altered: u64,
    /// Events that came before an earlier one of their order, or left one out: the sender is wrong.
    pub out_of_order: u64,
    /// Calls with no signature, a wrong one or an old one.
    pub unsigned: u64,
    /// Calls that were no event.
    pub bad_envelopes: u64,
    /// Calls that failed as told.
    pub failed: u64,
    /// Calls that hung as told.
    pub hung: u64,
    /// Calls that were throttled as told.
    pub throttled: u64,
    /// Calls that were redirected as told.
    pub redirected: u64,
    /// Calls whose answer got lost as told.
    pub answers_lost: u64,
}

impl Journal {
    /// Opens the file and takes what it holds as received before.
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
            journal.file = Some(OpenOptions::new().create(true).append(true).open(&path)?);
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
            self.remember(&event, RawValue::from_string(line).map_err(io::Error::from)?);
        }
        Ok(())
    }

    /// Keeps an event unless it was kept before. It is in the file when this returns.
    pub(super) fn keep(&mut self, event: CloudEvent, body: &[u8]) -> io::Result<()> {
        let raw: Box<RawValue> = serde_json::from_slice(body).map_err(io::Error::from)?;
        if let Some(&place) = self.place_of.get(&event.id) {
            let kept = &mut self.received[place];
            kept.times += 1;
            self.counters.duplicates += 1;
            if kept.event.get() != raw.get() {
                self.counters.altered += 1;
            }
            return Ok(());
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", raw.get())?;
            file.sync_data()?;
        }
        self.remember(&event, raw);
        Ok(())
    }

    fn remember(&mut self, event: &CloudEvent, raw: Box<RawValue>) {
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

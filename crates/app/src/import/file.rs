//! Bytes to cells.

use encoding_rs::{EUC_KR, Encoding, UTF_8};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

use crate::import::text::unescaped;

/// The cells of a file.
#[derive(Debug)]
pub struct Sheet {
    /// `UTF-8`, or `EUC-KR`, which includes CP949.
    pub encoding: &'static str,
    pub headers: Vec<String>,
    pub records: Vec<Record>,
}

/// A row of cells.
#[derive(Debug)]
pub struct Record {
    /// The line where it begins, from 1.
    pub line: usize,
    pub cells: Vec<String>,
}

/// A file that is no table of text.
#[derive(Debug, Error)]
pub enum UnreadableFile {
    #[error("neither UTF-8 nor CP949")]
    Encoding,
    #[error("no header")]
    Empty,
    #[error("line {line}: not CSV")]
    Csv { line: u64 },
}

impl Sheet {
    /// # Errors
    /// A file that is no table of text.
    pub fn read(bytes: &[u8]) -> Result<Self, UnreadableFile> {
        let (encoding, text) = decoded(bytes)?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator(&text))
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut records = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for record in reader.records() {
            let record = record
                .map_err(|error| UnreadableFile::Csv { line: error.position().map_or(0, csv::Position::line) })?;
            let start = start(&record, text.as_bytes());
            line += text.as_bytes()[counted..start].iter().filter(|byte| **byte == b'\n').count();
            counted = start;
            let cells: Vec<String> = record.iter().map(cell).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                records.push(Record { line, cells });
            }
        }
        if records.is_empty() {
            return Err(UnreadableFile::Empty);
        }
        let headers = records.remove(0).cells;
        Ok(Self { encoding, headers, records })
    }
}

/// The first byte of a record. The parser's position, and its line, precede the line feed of a CRLF and empty lines.
fn start(record: &csv::StringRecord, text: &[u8]) -> usize {
    let position = record.position().and_then(|position| usize::try_from(position.byte()).ok());
    let rest = position.and_then(|position| text.get(position..)).unwrap_or_default();
    text.len() - rest.len() + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Text in UTF-8, else in CP949, as Korean versions of Excel write it.
fn decoded(bytes: &[u8]) -> Result<(&'static str, String), UnreadableFile> {
    let by_mark = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let candidates = by_mark.map_or([UTF_8, EUC_KR], |encoding| [encoding; 2]);
    let decode = |encoding: &'static Encoding| {
        let (text, _, is_malformed) = encoding.decode(bytes);
        (!is_malformed).then(|| (encoding.name(), text.into_owned()))
    };
    candidates.into_iter().find_map(decode).ok_or(UnreadableFile::Encoding)
}

/// The separator that is most frequent in the first line, outside of quotes.
fn separator(text: &str) -> u8 {
    let (mut is_quoted, mut counts) = (false, [0_usize; 3]);
    const SEPARATORS: [char; 3] = [',', ';', '\t'];
    for character in text.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\n' if !is_quoted => break,
            other if !is_quoted => {
                if let Some(place) = SEPARATORS.iter().position(|separator| *separator == other) {
                    counts[place] += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    let place = counts.iter().position(|count| *count == most).unwrap_or_default();
    [b',', b';', b'\t'][place]
}

/// A cell as the domain stores texts.
fn cell(written: &str) -> String {
    let text: String = written.trim().replace("\r\n", "\n").nfc().collect();
    unescaped(&text).to_owned()
}

//! The sources of settings: defaults, the file, the variables, and the files of secrets.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source as _, Value};
use serde::Deserialize as _;

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::{SETTINGS, Values};

/// Merges all sources and parses every setting. Also returns the keys of those that are set.
pub fn read(
    file: Option<&Path>,
    variables: HashMap<String, String>,
) -> Result<(Values, BTreeSet<String>), SettingsError> {
    let mut sources = Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| SettingsError::File(format!("{} cannot be read: {error}", path.display())))?;
        sources = sources.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let variables = variables.into_iter().collect();
    sources = sources.add_source(Environment::default().ignore_empty(true).source(Some(variables)));
    let mut written = sources.build().and_then(|config| config.collect()).map_err(setting_error)?;
    for setting in SETTINGS {
        let [key, file_key @ ..] = setting.keys else { continue };
        for file_key in file_key {
            read_secret(&mut written, key, file_key)?;
        }
    }
    let is_unknown = |key: &&String| !SETTINGS.iter().any(|setting| setting.keys[0] == key.as_str());
    if let Some(key) = written.keys().find(is_unknown) {
        return Err(SettingsError::File(format!("unknown setting {key}; `jangteo serve --help` lists all")));
    }
    let keys = written.keys().cloned().collect();
    for setting in SETTINGS {
        written.entry(setting.keys[0].to_owned()).or_insert_with(|| setting.default.into());
    }
    Ok((Values::deserialize(Value::from(written)).map_err(setting_error)?, keys))
}

/// Replaces the key of a file by the secret in that file.
fn read_secret(written: &mut Map<String, Value>, key: &str, file_key: &str) -> Result<(), SettingsError> {
    let Some(path) = written.remove(file_key) else { return Ok(()) };
    let name = file_key.to_ascii_uppercase();
    if written.contains_key(key) {
        return Err(invalid(name, format!("set it or {}, not both", key.to_ascii_uppercase())));
    }
    let path = path.into_string().map_err(|_| invalid(name.as_str(), "the path of a file"))?;
    let secret = std::fs::read_to_string(path);
    let secret = secret.map_err(|error| invalid(name.as_str(), format!("the file cannot be read: {error}")))?;
    match secret.trim_end_matches(['\r', '\n']) {
        // Otherwise it would count as absent, and events would be unsigned.
        "" => Err(invalid(name, "the file is empty")),
        secret => {
            written.insert(key.to_owned(), secret.into());
            Ok(())
        }
    }
}

/// The error without any text of the file, which may be a secret.
fn setting_error(error: ConfigError) -> SettingsError {
    match error {
        ConfigError::At { error, key: Some(key), .. } if matches!(*error, ConfigError::Message(_)) => {
            invalid(key.to_ascii_uppercase(), error.to_string())
        }
        ConfigError::Type { key: Some(key), .. } => invalid(key.to_ascii_uppercase(), "one value, no list or table"),
        ConfigError::FileParse { cause, .. } => {
            SettingsError::File(format!("{}not valid TOML", position(&cause.to_string()).unwrap_or_default()))
        }
        _ => SettingsError::File("not a table of settings".to_owned()),
    }
}

/// The position in an error of the parser, whose first line is `TOML parse error at line 1, column 2`.
fn position(error: &str) -> Option<String> {
    let (line, column) = error.lines().next()?.split_once(" at line ")?.1.split_once(", column ")?;
    let [line, column]: [u64; 2] = [line.parse().ok()?, column.parse().ok()?];
    Some(format!("line {line}, column {column}: "))
}

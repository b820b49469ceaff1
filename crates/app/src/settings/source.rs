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
        sources = sources.add_source(File::from(path).format(FileFormat::Toml));
    }
    let variables = variables.into_iter().collect();
    sources = sources.add_source(Environment::default().ignore_empty(true).source(Some(variables)));
    let mut written = sources.build().and_then(|config| config.collect()).map_err(|error| file_error(&error))?;
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
    let path = path.into_string().map_err(|error| file_error(&error))?;
    let secret = std::fs::read_to_string(path);
    let secret = secret.map_err(|error| invalid(name, format!("the file cannot be read: {error}")))?;
    written.insert(key.to_owned(), secret.trim_end_matches(['\r', '\n']).into());
    Ok(())
}

/// A rejected value by its variable. Other errors are of the file's form.
fn setting_error(error: ConfigError) -> SettingsError {
    match error {
        ConfigError::At { error, key: Some(key), .. } if matches!(*error, ConfigError::Message(_)) => {
            invalid(key.to_ascii_uppercase(), error.to_string())
        }
        other => file_error(&other),
    }
}

/// One line without the excerpt of the file, which may show a secret.
fn file_error(error: &ConfigError) -> SettingsError {
    let text = error.to_string();
    let lines =
        text.lines().filter(|line| !line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|'));
    SettingsError::File(lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" "))
}

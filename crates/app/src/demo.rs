//! The demo shop: a development key, products, campaigns and sample calls. Not for production.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use nix::unistd::geteuid;
use secrecy::{ExposeSecret as _, SecretString};

use crate::auth::ADMIN_SCOPE;
use crate::settings::{Settings, TOKEN_SECRET_BYTES_MIN, TokenKey, TokenSettings};

mod catalog;
mod data_platform;
mod sign_in;

pub use catalog::{FIRST_PRODUCT, seed};
pub use data_platform::{DemoDataPlatform, data_platform};
pub use sign_in::DemoSignIn;

/// File of the development key, next to an SQLite database or in the working directory.
const KEY_FILE: &str = ".jangteo-dev-key";
/// Maximum validity of the printed tokens.
pub const TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The development key, if there is one.
pub fn key(settings: &Settings) -> anyhow::Result<Option<SecretString>> {
    let path = key_path(settings);
    let mut file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let metadata = file.metadata()?;
    check_access(&path, metadata.uid(), geteuid().as_raw(), metadata.mode())?;
    let mut key = String::new();
    file.read_to_string(&mut key).with_context(|| path.display().to_string())?;
    if key.trim().len() < TOKEN_SECRET_BYTES_MIN {
        bail!("{}: not a development key; delete the file to create a new one", path.display());
    }
    Ok(Some(key.trim().into()))
}

/// Another user who can write the key chooses it, and one who can read it signs tokens.
fn check_access(path: &Path, owner: u32, user: u32, mode: u32) -> anyhow::Result<()> {
    let path = path.display();
    if owner != user {
        bail!("{path}: the file belongs to another user; delete it to create a new key");
    }
    if mode & 0o077 != 0 {
        bail!("{path}: other users have access to the file; run `chmod 600 {path}`, or delete it to create a new key");
    }
    Ok(())
}

/// Token settings with the development key, which is created if there is none.
pub fn token_settings(settings: &Settings) -> anyhow::Result<TokenSettings> {
    let secret = match key(settings)? {
        Some(key) => key,
        None => create_key(&key_path(settings))?,
    };
    Ok(TokenSettings { algorithm: Algorithm::HS256, key: TokenKey::Secret(secret) })
}

fn key_path(settings: &Settings) -> PathBuf {
    settings.database.sibling_file(KEY_FILE)
}

/// Creates a random key in a file that only its owner can read.
fn create_key(path: &Path) -> anyhow::Result<SecretString> {
    let key = random_key();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| path.display().to_string())?;
    writeln!(file, "{}", key.expose_secret())?;
    Ok(key)
}

fn random_key() -> SecretString {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_SECRET_BYTES_MIN]>()).into()
}

/// The output of `serve --dev`: tokens, and sample calls from top-up to payment.
pub fn welcome(address: SocketAddr, sign_in: &DemoSignIn, events: Option<SocketAddr>) -> anyhow::Result<String> {
    let product = FIRST_PRODUCT;
    let campaign = catalog::FIRST_CAMPAIGN;
    let mut text = String::new();
    writeln!(text, "\n# A demo shop with a development key: not for production.")?;
    writeln!(text, "# Demo shop:     http://{address}/shop/")?;
    writeln!(
        text,
        "# Back office:   http://{address}/console/#code={} (works once, for 15 minutes)",
        sign_in.new_code()
    )?;
    writeln!(text, "# API reference: http://{address}/docs/\n")?;
    writeln!(text, "SHOP=http://{address}/v1")?;
    writeln!(text, "ADMIN='Authorization: Bearer {}'", sign_in.token("admin", ADMIN_SCOPE)?)?;
    writeln!(text, "KIM='Authorization: Bearer {}'", sign_in.token("kim", "")?)?;
    writeln!(text, "JSON='Content-Type: application/json'\n")?;
    for call in [
        "curl -s $SHOP/products".to_owned(),
        "curl -s -H \"$KIM\" -H \"$JSON\" -H 'Idempotency-Key: top-up-1' \
         -d '{\"amount\":\"100000\"}' $SHOP/users/kim/points/top-ups"
            .to_owned(),
        format!("curl -s -H \"$KIM\" -X POST $SHOP/coupon-campaigns/{campaign}/coupons"),
        format!(
            "curl -s -H \"$KIM\" -H \"$JSON\" -H 'Idempotency-Key: order-1' \
             -d '{{\"lines\":[{{\"product_id\":\"{product}\",\"quantity\":2}}]}}' $SHOP/orders | tee order.json"
        ),
        "curl -s -H \"$KIM\" -H \"$JSON\" -H 'Idempotency-Key: payment-1' -d '{\"coupon_id\":\"best\"}' \
         $SHOP/orders/$(sed 's/.*\"order_id\":\"\\([^\"]*\\)\".*/\\1/' order.json)/payment"
            .to_owned(),
        "curl -s \"$SHOP/products/popular?days=3&limit=5\"".to_owned(),
        format!(
            "curl -s -H \"$ADMIN\" -H \"$JSON\" -d '{{\"quantity\":10,\"reason\":\"restock\"}}' \
             $SHOP/admin/products/{product}/stock-movements"
        ),
    ] {
        writeln!(text, "{call}")?;
    }
    if let Some(events) = events {
        writeln!(text, "# Events received by the data platform:")?;
        writeln!(text, "curl -s http://{events}/events")?;
    }
    writeln!(text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;

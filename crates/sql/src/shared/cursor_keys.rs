//! The keys that authenticate cursors: the same on all servers, replaced by a row with the next number.

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::transaction::Changes;

use super::store::{Store, now};
use crate::CursorKey;
use crate::schema::cursor_keys;
use crate::types::{At, Bytes};

/// The keys in use during a rotation.
const KEYS_MAX: i64 = 2;

impl Store {
    /// The newest keys, the newest first. Creates the first one.
    pub(crate) async fn cursor_keys(&self) -> Result<Vec<CursorKey>, StoreError> {
        let stored = self.stored_cursor_keys().await?;
        if !stored.is_empty() {
            return Ok(stored);
        }
        let secret: [u8; 32] = rand::random();
        let creating = self.in_background(move |transaction| {
            async move {
                // The key of a server that was faster stays.
                let insert = diesel::insert_or_ignore_into(cursor_keys::table)
                    .values((cursor_keys::sequence.eq(1), cursor_keys::secret.eq(secret.to_vec())));
                transaction.run(|connection| insert.execute(connection).boxed()).await?;
                Ok(((), Changes::default()))
            }
            .boxed()
        });
        creating.await?;
        self.stored_cursor_keys().await
    }

    async fn stored_cursor_keys(&self) -> Result<Vec<CursorKey>, StoreError> {
        let reading = self.read(|connection| {
            async move {
                let newest = cursor_keys::table.order(cursor_keys::sequence.desc()).limit(KEYS_MAX);
                let newest = newest.select((cursor_keys::secret, cursor_keys::created_at));
                let keys: Vec<(Bytes<32>, At)> = newest.load(connection).await?;
                let now = now(connection).await?;
                let key = |(Bytes(secret), At(created_at))| CursorKey { secret, age: now.since(created_at) };
                Ok(keys.into_iter().map(key).collect())
            }
            .boxed()
        });
        reading.await
    }
}

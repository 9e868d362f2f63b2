//! Fields that may be absent, null or a value.

use serde::{Deserialize, Deserializer};

/// A field that may be absent, null or a value.
pub type Maybe<T> = Option<Option<T>>;

/// Tells a field that is null from one that is absent.
pub fn present<'de, T, D>(field: D) -> Result<Maybe<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Deserialize::deserialize(field).map(Some)
}

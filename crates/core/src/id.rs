//! Names of things. Ids made by Muster are UUIDv7 and carry their kind in the type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A request a person submitted.
    RequestId
);
uuid_id!(
    /// One running copy of a model.
    InstanceId
);
uuid_id!(
    /// One server process, new at every start.
    ServerId
);
uuid_id!(
    /// Who acts: an account or an anonymous session.
    PrincipalId
);
uuid_id!(
    /// A session or API token. Not its secret: whoever knows the id can do nothing with it.
    SessionId
);

/// A task: the slice of a request that starts as number `position` (0-based).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    pub request: RequestId,
    pub position: u32,
}

/// A model's name in the catalogue: 1 to 64 of `a-z 0-9 - _ .`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ModelId(String);

/// Why a text is not a model id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a model id is 1 to 64 of a-z, 0-9, '-', '_' and '.', and starts with a letter or digit")]
pub struct BadModelId;

impl ModelId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelId {
    type Err = BadModelId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let first = text.bytes().next().ok_or(BadModelId)?;
        let starts_well = first.is_ascii_lowercase() || first.is_ascii_digit();
        if text.len() > 64 || !starts_well || !text.bytes().all(fits) {
            return Err(BadModelId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ModelId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids_are_short_lower_case_names() {
        for good in ["eos4e40", "rdkit-descriptors", "a.b_c", "0"] {
            assert!(good.parse::<ModelId>().is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "-x", "..", "A", "a/b", "a\0", "ä", long.as_str()] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad}");
        }
    }
}

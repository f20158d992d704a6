//! Who makes nodes of a cluster that are not the hub's.

/// One of those who make nodes and take them away, as far as the hub can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    pub name: String,
    /// None: what would tell is not shown to the hub.
    pub is_there: Option<bool>,
    /// What it says, and what of it cannot be seen.
    pub says: Vec<String>,
}

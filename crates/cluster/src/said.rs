//! What our model server says of itself.

use muster_core::instance::StartFault;
use serde::Deserialize;

/// One line on the standard output of a model server, or its container's last message.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Preparing(String),
    Starting(String),
    Ready(String),
    /// A file of its folder is not as it was.
    Changed(String),
    Failed(Failed),
}

/// Why a start failed.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Failed {
    Lasting(String),
    /// `{"reason": .., "fault": ..}`
    Known {
        reason: String,
        fault: StartFault,
    },
}

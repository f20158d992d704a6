//! Which program this is. `scripts/release` says of which commit; what is built by hand does not know.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// Which program answers.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub struct Made {
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// The commit it was built from; null if it is no release.
    #[schema(example = "3d603b1c5a0f4e21b6d7c8e9fa0b1c2d3e4f5a6b")]
    pub commit: Option<&'static str>,
    /// The day of that commit (UTC); null if it is no release.
    #[schema(example = "2026-11-28")]
    pub committed_on: Option<&'static str>,
    /// Processor, system and C library.
    #[schema(example = "x86_64-linux-gnu")]
    pub target: &'static str,
}

pub const MADE: Made = Made {
    version: env!("CARGO_PKG_VERSION"),
    commit: option_env!("MUSTER_COMMIT"),
    committed_on: option_env!("MUSTER_COMMITTED_ON"),
    target: TARGET,
};

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
const TARGET: &str = "x86_64-linux-gnu";
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "musl"))]
const TARGET: &str = "x86_64-linux-musl";
#[cfg(all(target_arch = "aarch64", target_os = "linux", target_env = "gnu"))]
const TARGET: &str = "aarch64-linux-gnu";
#[cfg(not(any(
    all(target_arch = "x86_64", target_os = "linux", any(target_env = "gnu", target_env = "musl")),
    all(target_arch = "aarch64", target_os = "linux", target_env = "gnu"),
)))]
const TARGET: &str = std::env::consts::ARCH;

/// `0.1.0 (3d603b1, 2026-11-28, x86_64-linux-gnu)`
impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.version)?;
        if let (Some(commit), Some(day)) = (self.commit, self.committed_on) {
            write!(f, "{}, {day}, ", commit.get(..7).unwrap_or(commit))?;
        } else {
            f.write_str("no release, ")?;
        }
        write!(f, "{})", self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_its_commit_and_what_is_none_says_so() {
        let (commit, committed_on) = (Some("3d603b1c5a0f4e21"), Some("2026-11-28"));
        let released = Made { version: "1.2.3", commit, committed_on, target: "x86_64-linux-gnu" };
        assert_eq!(released.to_string(), "1.2.3 (3d603b1, 2026-11-28, x86_64-linux-gnu)");
        let tried = Made { commit: None, committed_on: None, ..released };
        assert_eq!(tried.to_string(), "1.2.3 (no release, x86_64-linux-gnu)");
    }
}

//! `muster doctor`.

use clap::Args;

use super::ServeFlags;

/// Say whether all that a hub stands on is as it has to be, on its machine or its cluster, whether it runs or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster doctor --data-dir ./data
  muster doctor --config muster.toml --json
  MUSTER_DATABASE_URL=postgres://hub:..@db/muster muster doctor
  kubectl exec deploy/muster -- muster doctor --cluster

It takes the settings of `muster serve`, and changes nothing: one object is written to the object
storage and removed again. Where instances are pods (--cluster) it looks at the cluster, not at this
machine: two pods of the hub's image (kubernetes.hub_image) are made and deleted again, to see
whether the hub reaches pods and a network policy keeps them apart. A wall around models that is missing is told, and is no failure: see
docs/security.md for what holds where.

Exit codes: 0 nothing is broken, 1 something is, 2 bad usage or settings.")]
pub struct Doctor {
    #[command(flatten)]
    pub flags: ServeFlags,
    /// Make no pods: whether pods are reached, and by whom, is not looked at
    #[arg(long)]
    pub no_canary: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

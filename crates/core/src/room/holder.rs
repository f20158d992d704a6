//! Those who hold room on a node.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::ask::Ask;
use super::node::{DeviceId, Tenant, TenantId};
use crate::InstanceId;

/// One who holds room.
#[derive(Clone, Debug)]
pub struct Holder<'w> {
    pub who: Who<'w>,
    pub ask: &'w Ask,
    pub devices: Cow<'w, [DeviceId]>,
}

#[derive(Clone, Copy, Debug)]
pub enum Who<'w> {
    Instance(InstanceId),
    Tenant(&'w Tenant),
    /// It is launched by the plan that is being made.
    Planned,
}

impl<'w> Who<'w> {
    fn key(self) -> (u8, Option<InstanceId>, Option<&'w TenantId>) {
        match self {
            Self::Instance(id) => (0, Some(id), None),
            Self::Tenant(tenant) => (1, None, Some(&tenant.id)),
            Self::Planned => (2, None, None),
        }
    }
}

impl PartialEq for Who<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Who<'_> {}

impl PartialOrd for Who<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Who<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

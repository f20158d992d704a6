//! Nodes that get nothing new, because the plan or an administrator says so.

use futures::FutureExt;
use muster_core::PrincipalId;
use muster_core::room::{MarkKind, NodeId};

use crate::db::Ts;
use crate::db::statement::{row, run};
use crate::db::text;
use crate::instances::servers::leads;
use crate::people::audit::{self, AuditAction, Note};
use crate::writer::{Tx, work};
use crate::{Change, Error, Store};

const FIND: &str = "SELECT kind, ours FROM node_mark WHERE node = $1";

const MARK: &str = "INSERT INTO node_mark (node, kind, ours, since, why) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (node) DO UPDATE SET kind = $2, ours = $3, since = $4, why = $5";

const UNMARK: &str = "DELETE FROM node_mark WHERE node = $1";

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marking {
    Done,
    /// It is so already.
    Already,
    /// An administrator said otherwise, or another server plans by now.
    Refused,
}

impl Store {
    /// The plan's: nothing new comes to the node. What an administrator said stays.
    pub async fn cordon(&self, node: &NodeId, why: &str) -> Result<Marking, Error> {
        self.mark(Some(MarkKind::Cordoned), node, why, None).await
    }

    /// The plan's: the node is used again, if it was the plan that cordoned it.
    pub async fn uncordon(&self, node: &NodeId) -> Result<Marking, Error> {
        self.mark(None, node, "", None).await
    }

    /// An administrator's, and audited; nothing takes the mark away.
    pub async fn mark_node(
        &self,
        actor: PrincipalId,
        node: &NodeId,
        kind: Option<MarkKind>,
        why: &str,
    ) -> Result<Marking, Error> {
        self.mark(kind, node, why, Some(actor)).await
    }

    async fn mark(
        &self,
        kind: Option<MarkKind>,
        node: &NodeId,
        why: &str,
        actor: Option<PrincipalId>,
    ) -> Result<Marking, Error> {
        let (node, why) = (text::exact(&node.0)?.to_owned(), text::words(why));
        let (entry, server) = (self.inner.clock.id(), self.inner.server);
        let (op, answer) = work(move |tx: &mut Tx| {
            let (node, why) = (node.clone(), why.clone());
            async move {
                let ours = actor.is_none();
                if ours && !leads(tx, server).await? {
                    return Ok(Marking::Refused);
                }
                let before: Option<(String, bool)> = row!(&mut tx.conn, FIND, &node);
                if ours && before.as_ref().is_some_and(|(_, ours)| !ours) {
                    return Ok(Marking::Refused);
                }
                if before == kind.map(|kind| (kind.name().to_owned(), ours)) {
                    return Ok(Marking::Already);
                }
                match kind {
                    Some(kind) => {
                        run!(&mut tx.conn, MARK, &node, kind.name(), ours, Ts(tx.now), &why)
                    }
                    None => run!(&mut tx.conn, UNMARK, &node),
                };
                if let Some(actor) = actor {
                    let action = match kind {
                        Some(MarkKind::Cordoned) => AuditAction::CordonNode,
                        Some(MarkKind::Drained) => AuditAction::DrainNode,
                        None => AuditAction::UncordonNode,
                    };
                    let detail = if why.is_empty() { node } else { format!("{node}: {why}") };
                    let actor = Some(actor);
                    let line = Note { id: entry, actor, action, subject: None, detail };
                    audit::note(tx, line).await?;
                }
                tx.after.changes.push(Change::Nodes);
                Ok(Marking::Done)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}

impl Marking {
    pub fn is_done(self) -> bool {
        self == Self::Done
    }
}

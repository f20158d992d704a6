//! What a model's image was when it ran first. A tag may come to mean another one, and predictions of the one
//! are not those of the other.

use futures::FutureExt;
use muster_core::Model;
use serde_json::json;

use super::edits::{EntryRow, ModelAct, ModelDone, ONE, change, entry};
use crate::db::statement::row;
use crate::writer::{Tx, work};
use crate::{Error, Store};

const NOTE: &str = "INSERT INTO model_image (model_id, model_version, image_id) VALUES ($1, $2, $3) \
     ON CONFLICT (model_id, model_version) DO UPDATE SET other_id = CASE \
     WHEN model_image.image_id <> $3 THEN COALESCE(model_image.other_id, $3) ELSE model_image.other_id END \
     RETURNING image_id, other_id";

/// What a pod's image is beside those that were seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenImage {
    /// The first of its version, and there was no other.
    Same,
    /// The version began with this one, and has had another one: what it predicts is not kept any more.
    Other { first: String },
}

impl Store {
    /// Notes which image a pod of the model's version runs. Once it is another one than the first, predictions of
    /// the model are neither read nor kept until it has another version, for which somebody says so again.
    pub async fn note_image(&self, model: &Model, image: &str) -> Result<SeenImage, Error> {
        let entry_id = self.inner.clock.id();
        let (id, version, image) = (model.id.clone(), model.version.clone(), image.to_owned());
        let (op, answer) = work(move |tx: &mut Tx| {
            let (id, version, image) = (id.clone(), version.clone(), image.clone());
            async move {
                let seen: Option<(String, Option<String>)> =
                    row!(&mut tx.conn, NOTE, id.as_str(), &version, &image);
                let Some((first, Some(_))) = seen else { return Ok((SeenImage::Same, false)) };
                let found: Option<EntryRow> = row!(&mut tx.conn, ONE, id.as_str());
                let now = found.map(entry).transpose()?;
                let kept = now.filter(|now| now.model.version == version && now.model.cache);
                let Some(kept) = kept else { return Ok((SeenImage::Other { first }, false)) };
                let edit = ModelAct::Edit(json!({ "cache": false }));
                let done = change(tx, (entry_id, None), (&id, kept.revision), edit).await?;
                Ok((SeenImage::Other { first }, matches!(done, ModelDone::Done(_))))
            }
            .boxed()
        });
        let (seen, changed) = self.answer(op, answer).await?;
        if changed {
            self.load_models().await?;
            self.forget_predictions(&model.id, None).await?;
        }
        Ok(seen)
    }
}

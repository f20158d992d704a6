//! What an instance was launched with, and how much memory instances of its version had.

use std::collections::HashMap;

use muster_core::room::{DeviceId, NodeId, Place};
use muster_core::{Amounts, ModelId};
use serde::Serialize;

use crate::db::batch;
use crate::db::dialect;
use crate::db::statement::{rows, run};
use crate::db::text;
use crate::writer::Tx;
use crate::{Error, NewInstance, Store};

const HOLD: &str = "INSERT INTO instance_device (node, device, instance_id) VALUES ($1, $2, $3) \
     ON CONFLICT (node, device) DO NOTHING";

const TAKE_BACK: &str = "DELETE FROM instance WHERE id = $1";

/// A version of a model, as `dialect::memory_peaks` reads it.
#[derive(Serialize)]
struct VersionRow<'v> {
    j_model: &'v str,
    j_version: &'v str,
}

/// What an instance is launched with, as its row has it.
pub(super) struct Placed {
    pub asked: Option<String>,
    pub node: Option<String>,
    pub devices: Option<String>,
}

impl Placed {
    pub(super) fn new(new: &NewInstance) -> Result<Self, Error> {
        let refused = |error: serde_json::Error| Error::Refused(error.to_string());
        let place = new.place.as_ref();
        for name in place.iter().flat_map(|place| &place.devices) {
            text::exact(&name.0)?;
        }
        for name in new.asked.iter().flat_map(|asked| asked.named.keys()) {
            text::exact(name)?;
        }
        let json = |place: &Place| serde_json::to_string(&place.devices);
        Ok(Self {
            asked: new.asked.as_ref().map(serde_json::to_string).transpose().map_err(refused)?,
            node: place.map(|place| text::exact(&place.node.0)).transpose()?.map(str::to_owned),
            devices: place.map(json).transpose().map_err(refused)?,
        })
    }
}

/// Gives the new instance its devices; false, and it is not there any more, if one is another's.
pub(super) async fn hold_devices(tx: &mut Tx, new: &NewInstance) -> Result<bool, Error> {
    let Some(place) = &new.place else { return Ok(true) };
    for device in &place.devices {
        if run!(&mut tx.conn, HOLD, &place.node.0, &device.0, new.id.0) == 0 {
            run!(&mut tx.conn, TAKE_BACK, new.id.0);
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn asked(json: Option<&str>) -> Result<Option<Amounts>, Error> {
    let read = json.map(serde_json::from_str).transpose();
    read.map_err(|_| Error::Corrupt("what an instance asks for".into()))
}

pub(super) fn devices(json: Option<&str>) -> Result<Vec<DeviceId>, Error> {
    let read = json.map(serde_json::from_str).transpose();
    Ok(read.map_err(|_| Error::Corrupt("the devices of an instance".into()))?.unwrap_or_default())
}

pub(super) fn place(node: Option<String>, json: Option<&str>) -> Result<Option<Place>, Error> {
    let devices = devices(json)?;
    Ok(node.map(|node| Place { node: NodeId(node), devices }))
}

impl Store {
    /// The most memory, in bytes, that an instance of each of these versions had, as far as one was
    /// looked at and is not cleared yet.
    pub async fn memory_peaks<'v>(
        &self,
        versions: impl IntoIterator<Item = (&'v ModelId, &'v str)>,
    ) -> Result<HashMap<(ModelId, String), u64>, Error> {
        let row = |(model, version): (&'v ModelId, &'v str)| VersionRow {
            j_model: model.as_str(),
            j_version: version,
        };
        let texts = batch::texts(versions.into_iter().map(row))?;
        let mut peaks = HashMap::new();
        let mut conn = self.inner.db.read().await?;
        let find = dialect::memory_peaks(conn.is_postgres());
        for text in texts {
            let found: Vec<(String, String, Option<i64>)> = rows!(&mut conn, find, text);
            for (model, version, peak) in found {
                let Some(peak) = peak.filter(|peak| *peak > 0) else { continue };
                let model = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
                peaks.insert((model, version), peak as u64);
            }
        }
        Ok(peaks)
    }
}

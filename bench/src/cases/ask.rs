//! How long one question takes, asked again and again.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::Result;
use crate::load::client::Client;

pub async fn ask(
    client: &mut Client,
    token: &str,
    path: &str,
    times: u64,
) -> Result<Histogram<u64>> {
    let mut took = Histogram::new_with_max(600_000_000, 3)?;
    client.get::<serde_json::Value>(path, token).await?;
    for _ in 0..times {
        let begun = Instant::now();
        client.get::<serde_json::Value>(path, token).await?;
        took.record(begun.elapsed().as_micros() as u64)?;
    }
    Ok(took)
}

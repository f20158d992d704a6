//! A list of the hub, as a command prints it.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::hub::{Hub, parse_all};
use crate::table;

/// Which list, and what is said of it.
pub struct List<'l> {
    pub path: &'l str,
    /// At most so many.
    pub limit: usize,
    pub json: bool,
    /// What is said if there is nothing.
    pub none: &'l str,
    /// Flags that show more.
    pub see: &'l str,
}

impl List<'_> {
    /// Prints the API's JSON, or what `shown` makes of the items.
    pub async fn print<T: DeserializeOwned>(
        self,
        hub: &Hub,
        shown: impl FnOnce(Vec<T>) -> String,
    ) -> Result<(), Failure> {
        let (items, more) = hub.list(self.path, self.limit.max(1), false).await?;
        if self.json {
            return table::print(&list_json(&items));
        }
        let items: Vec<T> = parse_all(&items)?;
        if items.is_empty() {
            return table::print(self.none);
        }
        let mut text = shown(items);
        if more {
            text.push_str(&there_are_more(self.see));
        }
        table::print(&text)
    }
}

/// Under a table that does not show all.
pub fn there_are_more(see: &str) -> String {
    format!("\nthere are more; see {see}")
}

/// A list as the API gives it, of all pages.
pub fn list_json(items: &[Box<RawValue>]) -> String {
    let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
    format!("{{\"items\":[{}],\"next\":null}}", items.join(","))
}

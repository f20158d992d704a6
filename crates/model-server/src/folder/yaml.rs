//! YAML as people write it: values keep their spelling (`3.10` is no number), a key that stands twice
//! counts as it stands last, with a word.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};

/// Most values that aliases (`*name`) may repeat.
const REPEATED: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Yaml {
    Null,
    Text(String),
    List(Vec<Yaml>),
    /// In the order of the file; no name twice.
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of a name without regard to its case.
    pub(crate) fn get_any_case(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

/// A text that was read, and the keys that stand twice in it.
#[derive(Debug)]
pub(crate) struct Read {
    pub value: Yaml,
    pub twice: Vec<String>,
}

/// Reads the first document of a text.
pub(crate) fn read(text: &str) -> Result<Read, String> {
    let mut reader = Reader { open: Vec::new(), anchors: HashMap::new(), done: None, repeated: 0 };
    let mut twice = Vec::new();
    for next in Parser::new_from_str(text) {
        let (event, _) = next.map_err(|error| error.to_string())?;
        let value = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Yaml::Null } else { Yaml::Text(text.into_owned()) };
                reader.remember(anchor, &value);
                value
            }
            Event::Alias(anchor) => {
                let value = reader.anchors.get(&anchor).cloned().unwrap_or(Yaml::Null);
                reader.repeated += size(&value);
                if reader.repeated > REPEATED {
                    return Err("its aliases repeat too much".to_owned());
                }
                value
            }
            Event::SequenceStart(_, anchor, _) => {
                reader.open.push(Open { anchor, into: Yaml::List(vec![]), key: None });
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                reader.open.push(Open { anchor, into: Yaml::Map(vec![]), key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = reader.open.pop() else { continue };
                reader.remember(open.anchor, &open.into);
                open.into
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        reader.put(value, &mut twice);
    }
    Ok(Read { value: reader.done.unwrap_or(Yaml::Null), twice })
}

fn size(value: &Yaml) -> usize {
    match value {
        Yaml::Null | Yaml::Text(_) => 1,
        Yaml::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Yaml::Map(members) => 1 + members.iter().map(|(_, value)| size(value)).sum::<usize>(),
    }
}

struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Yaml>,
    done: Option<Yaml>,
    repeated: usize,
}

/// A list or map whose end is to come.
struct Open {
    anchor: usize,
    into: Yaml,
    key: Option<String>,
}

impl Reader {
    fn remember(&mut self, anchor: usize, value: &Yaml) {
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
    }

    fn put(&mut self, value: Yaml, twice: &mut Vec<String>) {
        let Some(open) = self.open.last_mut() else {
            self.done.get_or_insert(value);
            return;
        };
        match (&mut open.into, open.key.take()) {
            (Yaml::Map(members), Some(key)) => {
                let known = members.iter().position(|(name, _)| *name == key);
                if let Some(at) = known {
                    members.remove(at);
                    twice.push(key.clone());
                }
                members.push((key, value));
            }
            (Yaml::Map(_), None) => {
                open.key = Some(match value {
                    Yaml::Text(text) => text,
                    _ => String::new(),
                });
            }
            (Yaml::List(items), _) => items.push(value),
            (Yaml::Null | Yaml::Text(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_spelling() {
        let read =
            read("python: 3.10\nquoted: \"null\"\nlist: [pip, torch, 2.10]\nno:\nhex: 0x10\n")
                .expect("YAML");
        let text = |name: &str| read.value.get(name).and_then(Yaml::text);
        assert_eq!(
            (text("python"), text("quoted"), text("hex")),
            (Some("3.10"), Some("null"), Some("0x10"))
        );
        assert_eq!(read.value.get("no"), Some(&Yaml::Null));
        assert_eq!(read.value.get("list").expect("a list").items()[2], Yaml::Text("2.10".into()));
    }

    #[test]
    fn a_key_that_stands_twice_counts_as_it_stands_last_and_is_told() {
        let read = read("a: {b: 1, b: 2}\nStatus: x\nStatus: y\n").expect("YAML");
        assert_eq!(read.value.get("Status").and_then(Yaml::text), Some("y"));
        assert_eq!(read.value.get("a").and_then(|a| a.get("b")).and_then(Yaml::text), Some("2"));
        assert_eq!(read.twice, ["b", "Status"]);
    }

    #[test]
    fn json_aliases_and_more_documents_are_read() {
        let json = read("{\"a\": [1, null], \"b\": {},\n}\n").expect("JSON with a comma too many");
        let list = [Yaml::Text("1".into()), Yaml::Null];
        assert_eq!(json.value.get("a").expect("a list").items(), list);
        let alias = read("x: &x [1]\ny: *x\n---\nz: 1\n").expect("YAML");
        assert_eq!(alias.value.get("y"), alias.value.get("x"));
        assert_eq!(alias.value.get("z"), None);
        assert_eq!(read("").expect("nothing").value, Yaml::Null);
        assert!(read("a: [\n").is_err());
        let bomb: String = (1..9)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(",")))
            .collect();
        assert!(read(&format!("a0: &a0 [x]\n{bomb}")).is_err(), "aliases of aliases of aliases");
    }
}

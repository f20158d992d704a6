//! Forms with a file (RFC 7578), as web pages, `curl -F` and `requests.post(.., files=..)` send them.
//! What is said of the file stands in fields before it, or in the query.

use std::fmt;

use axum::extract::Request;
use futures::stream;
use http::header::CONTENT_TYPE;
use multer::{Field, Multipart};
use sha2::{Digest, Sha256};

use super::rules::Dialect;
use super::{Begun, Reader, Submission, SubmitQuery, dialect, open};
use crate::http::extract::{Pairs, Parameters};
use crate::http::problem::{Kind, Problem};

/// Most bytes of a field that is no file.
const FIELD: usize = 1_000;

pub async fn read(
    reader: &Reader,
    request: Request,
    mut query: SubmitQuery,
    keyed: bool,
) -> Result<Submission, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = kind.and_then(|kind| multer::parse_boundary(kind).ok());
    let boundary = boundary.ok_or_else(|| broken(multer::Error::NoBoundary))?;
    let mut upload = open(reader, request, None).await?;
    // Boundaries are made anew each time: the hash is that of the file alone.
    let mut hash = keyed.then(Sha256::new);
    let mut file = None;
    let mut fields = Vec::new();
    let pieces = stream::try_unfold(&mut upload, async |upload| {
        let piece = upload.next().await.map_err(Failed)?;
        Ok::<_, Failed>(piece.map(|piece| (piece, upload)))
    });
    let mut form = Multipart::new(Box::pin(pieces), boundary);
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if file.is_some() {
            let detail = "Only one file is read of a form, and fields are read before it. Put the \
                          file last.";
            return Err(Problem::parameter(&shown(&name), detail));
        }
        if field.file_name().is_none() && name != "file" {
            fields.push((name, text(&mut field).await?));
            continue;
        }
        let dialect = of_part(&field)?;
        let said = std::mem::take(&mut query).joined(std::mem::take(&mut fields))?;
        let mut begun = Begun::new(reader, said, dialect)?;
        if let Some(hash) = &mut hash {
            hash.update(begun.salt.as_bytes());
        }
        while let Some(piece) = field.chunk().await.map_err(broken)? {
            if let Some(hash) = &mut hash {
                hash.update(&piece);
            }
            begun.file.feed(&piece)?;
        }
        file = Some(begun);
    }
    drop(form);
    let Some(begun) = file else {
        let detail = "The form has no file. Send it as the field `file`, the last one.";
        return Err(Problem::new(Kind::EmptyInput, detail));
    };
    let (_, reserved) = upload.end();
    begun.end((hash.map_or([0; 32], |hash| hash.finalize().into()), reserved))
}

impl SubmitQuery {
    /// With what stands in the fields of a form.
    fn joined(self, fields: Vec<(String, String)>) -> Result<Self, Problem> {
        const NAMES: &[&str] = &["model", "column", "header", "separator", "cache", "label"];
        // What is left empty is not filled in.
        let filled = fields.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let said = Self::read(&mut Pairs::of_fields(filled, NAMES)?)?;
        Ok(Self {
            wait: self.wait,
            model: said.model.or(self.model),
            column: said.column.or(self.column),
            header: said.header.or(self.header),
            separator: said.separator.or(self.separator),
            cache: said.cache.or(self.cache),
            label: said.label.or(self.label),
        })
    }
}

/// By the file's name, for that is what people see; else by the type of the part.
fn of_part(field: &Field<'_>) -> Result<Dialect, Problem> {
    let name = field.file_name().unwrap_or_default().to_ascii_lowercase();
    let of_name = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv") => Some(Dialect::Csv),
        Some("tsv" | "tab") => Some(Dialect::Tsv),
        Some("txt" | "smi" | "smiles") => Some(Dialect::Lines),
        _ => None,
    };
    let of_type = match field.content_type().map(|kind| kind.essence_str()) {
        None | Some("application/octet-stream") => Some(Dialect::Csv),
        Some(media) => dialect(media),
    };
    of_name.or(of_type).ok_or_else(|| super::unsupported("of the file"))
}

async fn text(field: &mut Field<'_>) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        text.extend_from_slice(&piece);
        if text.len() > FIELD {
            let detail = format!("A field may have {FIELD} bytes. A file is sent with its name.");
            let name = shown(field.name().unwrap_or_default());
            return Err(Problem::parameter(&name, detail));
        }
    }
    let text = String::from_utf8(text).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| {
        let name = shown(field.name().unwrap_or_default());
        Problem::parameter(&name, "This must be text in UTF-8 without a NUL character.")
    })
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A problem on its way through the parser of forms.
struct Failed(Problem);

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Failed {}

fn broken(error: multer::Error) -> Problem {
    if let multer::Error::StreamReadFailed(inner) = error {
        return inner.downcast::<Failed>().map_or_else(|_| Problem::internal(), |failed| failed.0);
    }
    let detail = "The form is not well-formed, or ends too early. Send it with `curl -F file=@FILE`, \
                  or the file itself: `--data-binary @FILE -H 'Content-Type: text/csv'`.";
    Problem::new(Kind::BadRequest, detail)
}

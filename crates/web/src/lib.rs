//! The web app's files, as `make web` left them in `web/dist`.
//!
//! Names are paths below `/`. A file that compresses is there as `NAME.br` and `NAME.gz` only;
//! `index.html` is there as it is, because each answer puts a nonce into it.

/// Names and bytes. Empty if the app was not built before the binary.
pub static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

#[cfg(test)]
mod tests {
    use super::FILES;

    #[test]
    fn what_is_built_has_its_page_and_the_files_that_the_page_names() {
        let Some((_, page)) = FILES.iter().find(|(name, _)| *name == "index.html") else {
            assert!(FILES.is_empty(), "files without a page");
            return;
        };
        let page = std::str::from_utf8(page).expect("UTF-8");
        let mut seen = 0;
        for name in page.split('"').filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
            let br = format!("{name}.br");
            assert!(FILES.iter().any(|(file, _)| *file == br), "{name} is missing");
            seen += 1;
        }
        assert!(seen >= 2, "{page}");
    }
}

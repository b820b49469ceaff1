//! The back office and the demo shop in the browser: two single-page applications on the public HTTP API, as the files
//! that `make console` builds from `web/`. No code of the server is here, and nothing of the pages depends on it.

/// The page of the back office.
pub const BACK_OFFICE: &str = "index.html";
/// The page of the demo shop.
pub const SHOP: &str = "shop.html";

/// Scripts, styles and images of both pages are in this folder. Their names contain a hash of their content, so that a
/// browser may store them for ever.
pub const ASSETS: &str = "assets/";

/// By path, sorted.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A built file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Not compressed.
    pub bytes: &'static [u8],
    /// The media type, with the charset of text.
    pub media_type: &'static str,
}

/// The file of that path, relative to the folder of built files; `None` where there is none.
pub fn file(path: &str) -> Option<File> {
    let index = FILES.binary_search_by_key(&path, |(name, _)| name).ok()?;
    Some(File { bytes: FILES[index].1, media_type: media_type(path) })
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_refer_to_files_that_exist() {
        for page in [BACK_OFFICE, SHOP] {
            let html = std::str::from_utf8(file(page).expect("a page").bytes).expect("UTF-8");
            let links: Vec<_> = html.split('"').filter_map(|text| text.strip_prefix("/console/")).collect();
            assert!(links.len() >= 2, "{html}");
            for link in links {
                assert!(link.starts_with(ASSETS), "{link} is stored for ever only in {ASSETS}");
                assert!(file(link).is_some(), "{page} refers to {link}, which does not exist");
            }
        }
    }

    #[test]
    fn every_file_has_a_media_type() {
        for (path, _) in FILES {
            assert_ne!(media_type(path), "application/octet-stream", "{path}");
        }
    }

    /// The policy of the pages forbids them, and a script in a page would need a hash there.
    #[test]
    fn pages_have_no_inline_script_or_style() {
        for page in [BACK_OFFICE, SHOP] {
            let html = std::str::from_utf8(file(page).expect("a page").bytes).expect("UTF-8");
            assert!(!html.contains("<style") && !html.contains(" style="), "{html}");
            let inline = html.split("<script").skip(1).find(|script| !script.contains("src=\""));
            assert_eq!(inline, None);
        }
    }
}

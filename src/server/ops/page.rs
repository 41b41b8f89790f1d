//! The page for people: three files, embedded in the program.

/// The kind and content of a file of the page.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/" => Some(("text/html; charset=utf-8", include_str!("page/index.html"))),
        "/monitor.js" => Some(("text/javascript; charset=utf-8", include_str!("page/monitor.js"))),
        "/style.css" => Some(("text/css; charset=utf-8", include_str!("page/style.css"))),
        _ => None,
    }
}

//! The page for people, embedded in the program. One ES module for each purpose, and uPlot for the charts, as it was
//! published, with its licence.

/// The kind and content of a file of the page.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    const HTML: &str = "text/html; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    const STYLE: &str = "text/css; charset=utf-8";
    const TEXT: &str = "text/plain; charset=utf-8";
    Some(match path {
        "/" => (HTML, include_str!("page/index.html")),
        "/icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        "/style.css" => (STYLE, include_str!("page/style.css")),
        "/main.js" => (SCRIPT, include_str!("page/main.js")),
        "/charts.js" => (SCRIPT, include_str!("page/charts.js")),
        "/history.js" => (SCRIPT, include_str!("page/history.js")),
        "/histogram.js" => (SCRIPT, include_str!("page/histogram.js")),
        "/make.js" => (SCRIPT, include_str!("page/make.js")),
        "/match.js" => (SCRIPT, include_str!("page/match.js")),
        "/runs.js" => (SCRIPT, include_str!("page/runs.js")),
        "/stream.js" => (SCRIPT, include_str!("page/stream.js")),
        "/tables.js" => (SCRIPT, include_str!("page/tables.js")),
        "/timeline.js" => (SCRIPT, include_str!("page/timeline.js")),
        "/uplot/uPlot.js" => (SCRIPT, include_str!("page/uplot/uPlot.iife.min.js")),
        "/uplot/uPlot.css" => (STYLE, include_str!("page/uplot/uPlot.min.css")),
        "/uplot/LICENSE" => (TEXT, include_str!("page/uplot/LICENSE")),
        _ => return None,
    })
}

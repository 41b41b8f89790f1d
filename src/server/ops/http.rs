//! The operations listener: metrics, health, and the page for people. Plain HTTP, for reading only.
//!
//! What must hold: it never holds up the server; it takes so many connections and no more; a page from elsewhere that a
//! browser shows cannot read it under a name of its own.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use super::{Looked, Ops, page};
use crate::model::engine::{MatchRow, SessionRow};

type Body = BoxBody<Bytes, Infallible>;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// After the listener says no, how long until it is asked again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Rows of each table on the page.
const ROWS_MAX: usize = 500;
/// How often a stream in which nothing happens shows that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Events on their way to a browser.
const STREAM_MAX: usize = 64;
/// Nothing from elsewhere, nothing inline, nowhere framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers for ever.
pub async fn serve(listener: TcpListener, ops: Arc<Ops>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let ops = Arc::clone(&ops);
        tokio::spawn(async move {
            let _place = place;
            let answer = service_fn(|request| {
                let ops = Arc::clone(&ops);
                async move { Ok::<_, Infallible>(answer(&request, ops).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).keep_alive(true);
            // A reader that breaks off has seen enough.
            let _ = http.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// Reads `127.0.0.1:3080`, or a port alone, which is taken on this machine only.
///
/// # Errors
/// A sentence, when it is neither.
pub fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse().map_err(|_| "an address such as 127.0.0.1:3080, or a port, is needed".to_owned()),
    }
}

async fn answer(request: &Request<Incoming>, ops: Arc<Ops>) -> Response<Body> {
    if !is_at_home(request.headers().get(header::HOST)) {
        return text(StatusCode::FORBIDDEN, "this server is asked for by its address or as localhost\n");
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "this is for reading only\n");
    }
    match request.uri().path() {
        "/metrics" => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            whole(StatusCode::OK, kind, ops.text().await)
        }
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if ops.is_ready() => text(StatusCode::OK, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        "/api/now" => whole(StatusCode::OK, "application/json", now(&ops).await.to_string()),
        "/api/events" => events(&ops),
        path => match page::file(path) {
            Some((kind, content)) => whole(StatusCode::OK, kind, content.to_owned()),
            None => text(StatusCode::NOT_FOUND, "there is no such page\n"),
        },
    }
}

/// Whether a browser was led here by an address, not by a name that somebody else may have given it.
fn is_at_home(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

async fn now(ops: &Ops) -> Value {
    let boot = ops.attached.get().map(|attached| attached.boot);
    let Some(Looked { census, facts, .. }) = ops.look(ROWS_MAX).await else {
        return json!({ "ready": ops.is_ready(), "boot": boot });
    };
    let session = |row: &SessionRow| {
        let seated = row.seated.map(|id| id.to_string());
        json!({ "session": row.session.to_string(), "user": row.user.as_str(), "live": row.live, "match": seated })
    };
    let of = |row: &MatchRow| {
        let [x, o] = row.names.each_ref().map(|name| name.as_str());
        let id = row.match_id.to_string();
        json!({ "match": id, "x": x, "o": o, "game": row.game, "ply": row.plies, "state": row.state })
    };
    json!({
        "ready": ops.is_ready(),
        "boot": boot,
        "facts": facts.0,
        "live": census.live,
        "away": census.away,
        "active": census.active,
        "suspended": census.suspended,
        "decided": census.decided,
        "connections": ops.metrics.connections.get(),
        "mean_sync_ms": ops.metrics.mean_sync_ms(),
        "sessions": census.sessions.iter().map(session).collect::<Vec<_>>(),
        "matches": census.matches.iter().map(of).collect::<Vec<_>>(),
    })
}

/// The last events and all that come, as a stream that the browser takes up again by itself.
fn events(ops: &Ops) -> Response<Body> {
    let Some(log) = &ops.log else { return text(StatusCode::NOT_FOUND, "this server writes no log\n") };
    let (recent, mut news) = log.watch();
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(STREAM_MAX);
    tokio::spawn(async move {
        let begin = Bytes::from_static(b"retry: 500\nevent: begin\ndata: {}\n\n");
        if sender.send_data(begin).await.is_err() {
            return;
        }
        for (number, json) in recent {
            if sender.send_data(frame(number, &json)).await.is_err() {
                return;
            }
        }
        loop {
            let bytes = match tokio::time::timeout(ALIVE_EVERY, news.recv()).await {
                Ok(Ok((number, json))) => frame(number, &json),
                // The browser asks again, and gets the last ones anew.
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => return,
                Err(_) => Bytes::from_static(b": alive\n\n"),
            };
            if sender.send_data(bytes).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(body.boxed());
    dress(&mut response, "text/event-stream");
    response
}

fn frame(number: u64, json: &str) -> Bytes {
    Bytes::from(format!("id: {number}\ndata: {json}\n\n"))
}

fn text(status: StatusCode, sentence: &str) -> Response<Body> {
    whole(status, "text/plain; charset=utf-8", sentence.to_owned())
}

fn whole(status: StatusCode, kind: &'static str, content: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(content)).boxed());
    *response.status_mut() = status;
    dress(&mut response, kind);
    response
}

fn dress(response: &mut Response<Body>, kind: &'static str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_home() {
        for (host, is) in [
            ("127.0.0.1:3080", true),
            ("localhost:3080", true),
            ("[::1]:3080", true),
            ("[::1]", true),
            ("192.168.1.7", true),
            ("evil.example:3080", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_at_home(Some(&HeaderValue::from_str(host).unwrap())), is, "{host}");
        }
        assert!(!is_at_home(None));
    }

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        assert_eq!(parse_addr("3080"), Ok(SocketAddr::from(([127, 0, 0, 1], 3080))));
        assert_eq!(parse_addr("0.0.0.0:1"), Ok(SocketAddr::from(([0, 0, 0, 0], 1))));
        assert!(parse_addr("here").is_err());
    }
}

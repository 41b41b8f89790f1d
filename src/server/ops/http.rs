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
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use super::{Ops, page, seen};
use crate::model::engine::Found;

type Body = BoxBody<Bytes, Infallible>;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// After the listener says no, how long until it is asked again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How often a stream says how things are; it shows that it is alive too.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Events on their way to a browser.
const STREAM_MAX: usize = 64;
const JSON: &str = "application/json";
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
        "/api/now" => whole(StatusCode::OK, JSON, seen::now(&ops).await.to_string()),
        "/api/events" => events(ops),
        path => match (path.strip_prefix("/api/match/"), page::file(path)) {
            (Some(id), _) => one_match(&ops, id).await,
            (None, Some((kind, content))) => whole(StatusCode::OK, kind, content.to_owned()),
            (None, None) => text(StatusCode::NOT_FOUND, "there is no such page\n"),
        },
    }
}

async fn one_match(ops: &Ops, id: &str) -> Response<Body> {
    let Ok(match_id) = id.parse() else {
        return text(StatusCode::BAD_REQUEST, "a match id has 32 hexadecimal digits\n");
    };
    match ops.depth(match_id).await {
        Some(Found::Whole(depth)) => whole(StatusCode::OK, JSON, seen::depth(&depth).to_string()),
        Some(Found::Ended { names, ruling }) => text(StatusCode::GONE, &seen::ended(&names, ruling)),
        None => text(StatusCode::NOT_FOUND, "no match with this id is open or has a result\n"),
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

/// The last events and all that come, and how things are every second, as a stream that the browser takes up again by
/// itself.
fn events(ops: Arc<Ops>) -> Response<Body> {
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
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let bytes = tokio::select! {
                biased;
                _ = looks.tick() => Bytes::from(format!("event: now\ndata: {}\n\n", seen::now(&ops).await)),
                new = news.recv() => match new {
                    Ok((number, json)) => frame(number, &json),
                    // The browser asks again, and gets the last ones anew.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                },
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

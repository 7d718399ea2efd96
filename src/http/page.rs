//! The dashboard's page, what it is made of, and the client library: files that are built in.
//!
//! Their source is in `page/`: plain modules that the browser loads as they stand, so there is nothing to build. The
//! page holds no data. Its policy lets it run and fetch nothing but its own files, and connect to this daemon alone.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::problem::Problem;
use super::reading::matches;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const TYPES: &str = "application/typescript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Paths, types, contents.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/client.js", JS, include_str!("page/client.js")),
    ("/client.d.ts", TYPES, include_str!("page/client.d.ts")),
    ("/assets/app.js", JS, include_str!("page/assets/app.js")),
    ("/assets/charts.js", JS, include_str!("page/assets/charts.js")),
    ("/assets/detail.js", JS, include_str!("page/assets/detail.js")),
    ("/assets/dom.js", JS, include_str!("page/assets/dom.js")),
    ("/assets/heart.js", JS, include_str!("page/assets/heart.js")),
    ("/assets/model.js", JS, include_str!("page/assets/model.js")),
    ("/assets/session.js", JS, include_str!("page/assets/session.js")),
    ("/assets/table.js", JS, include_str!("page/assets/table.js")),
    ("/assets/timeline.js", JS, include_str!("page/assets/timeline.js")),
    ("/assets/words.js", JS, include_str!("page/assets/words.js")),
    ("/assets/style.css", CSS, include_str!("page/assets/style.css")),
    ("/assets/icon.svg", SVG, include_str!("page/assets/icon.svg")),
    ("/assets/uPlot.iife.min.js", JS, include_str!("page/vendor/uPlot.iife.min.js")),
    ("/assets/uPlot.min.css", CSS, include_str!("page/vendor/uPlot.min.css")),
    ("/assets/uPlot.LICENSE", TEXT, include_str!("page/vendor/uPlot.LICENSE")),
];

struct File {
    path: &'static str,
    kind: HeaderValue,
    plain: Bytes,
    packed: Bytes,
    etag: HeaderValue,
}

static PACKED: LazyLock<Vec<File>> = LazyLock::new(|| FILES.iter().map(|file| File::new(*file)).collect());

impl File {
    fn new((path, kind, content): (&'static str, &'static str, &'static str)) -> Self {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        // Packing into memory does not fail; an empty answer would show in the tests.
        let packed = packer.write_all(content.as_bytes()).and_then(|()| packer.finish()).unwrap_or_default();
        let tag = format!("W/\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(content.as_bytes()));
        Self {
            path,
            kind: HeaderValue::from_static(kind),
            plain: Bytes::from_static(content.as_bytes()),
            packed: packed.into(),
            etag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("W/\"\"")),
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = matches(headers, self.etag.to_str().unwrap_or_default());
        let encodings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let packs = encodings.flat_map(|value| value.split(',')).any(|coding| coding.trim() == "gzip");
        let mut response = match (known, packs) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, true) => self.packed.clone().into_response(),
            (false, false) => self.plain.clone().into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.kind.clone());
        headers.insert(ETAG, self.etag.clone());
        // Asked for anew each time, so that a page never mixes files of two versions.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if !known && packs {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.path.starts_with("/client") {
            // Others' dashboards load it from here; it holds nothing of anybody.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
            headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        }
        response
    }
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// `GET /`, `/client.js` and `/client.d.ts`.
pub(super) async fn page(request: Request) -> Result<Response, Problem> {
    serve(request.uri().path(), request.headers())
}

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    serve(&format!("/assets/{name}"), &headers)
}

fn serve(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let found = PACKED.iter().find(|file| file.path == path);
    found.map(|file| file.answer(headers)).ok_or_else(Problem::not_found)
}

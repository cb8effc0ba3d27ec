//! The HTTP client: patience with limits, and words for what went wrong.

use std::error::Error;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{CONTENT_LENGTH, RANGE};
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy, StatusCode, Url};

use super::folder;
use super::mirror::{Route, shown};
pub(super) use super::trouble::Trouble;

/// How patient a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, and for `trickle` bytes of it to arrive.
    pub stall: Duration,
    /// Bytes that must arrive within `stall`; a server that sends fewer hangs, however alive it looks.
    pub trickle: u64,
    /// Redirects that are followed.
    pub redirects: usize,
    /// Tries of one mirror in a row that bring nothing new.
    pub tries: u32,
    /// Before the second try; twice as long before the third, and so on.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            trickle: 4 << 10,
            redirects: 5,
            tries: 3,
            pause: Duration::from_secs(1),
        }
    }
}

/// A redirect that is not followed.
#[derive(Debug, thiserror::Error)]
enum RefusedRedirect {
    #[error("the server redirects more than {0} times")]
    TooMany(usize),
    #[error("it redirects to {0}, which is not encrypted: a key is taken over https only")]
    Plain(String),
}

/// Whether `next` may follow `before`, where everything has to be encrypted: plain http only leads to where it began.
fn stays_encrypted(before: &[Url], next: &Url) -> bool {
    next.scheme() == "https" || before.iter().all(|url| url.origin() == next.origin())
}

/// A client with its limits.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    pub(super) limits: Limits,
}

impl Http {
    /// A client for the mirrors of `route`.
    pub(super) fn new(route: &Route, limits: &Limits) -> Result<Self> {
        Self::build(route, limits, || Policy::limited(limits.redirects))
    }

    /// A client for what nothing vouches for but the way that it came: from https no redirect leads to plain http, and from a
    /// mirror in plain http none to another server of that kind.
    pub(super) fn encrypted(route: &Route, limits: &Limits) -> Result<Self> {
        let most = limits.redirects;
        Self::build(route, limits, || {
            Policy::custom(move |attempt| {
                if attempt.previous().len() > most {
                    return attempt.error(RefusedRedirect::TooMany(most));
                }
                if !stays_encrypted(attempt.previous(), attempt.url()) {
                    let to = shown(attempt.url().as_str());
                    return attempt.error(RefusedRedirect::Plain(to));
                }
                attempt.follow()
            })
        })
    }

    fn build(route: &Route, limits: &Limits, redirects: impl Fn() -> Policy) -> Result<Self> {
        let builder = || -> Result<ClientBuilder> {
            let mut builder = Client::builder()
                .user_agent(concat!("portadc/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(limits.connect)
                // A blocking client applies it to the answer and then to each read, not to the whole body.
                .timeout(limits.stall)
                .redirect(redirects())
                .referer(false);
            // A proxy does not reach what runs on this machine.
            let direct = || NoProxy::from_string("localhost,127.0.0.0/8,::1");
            if let Some(url) = &route.http_proxy {
                let proxy = Proxy::http(url).with_context(|| no_proxy(url))?;
                builder = builder.proxy(proxy.no_proxy(direct()));
            }
            if let Some(url) = &route.https_proxy {
                let proxy = Proxy::https(url).with_context(|| no_proxy(url))?;
                builder = builder.proxy(proxy.no_proxy(direct()));
            }
            Ok(builder)
        };
        // Without certificates on the host there is no client for https. Where every mirror is plain http (what is
        // fetched is verified by its own signature and hashes) a client without them does as well.
        let plain = route
            .mirrors
            .iter()
            .all(|url| url.starts_with("http:") || folder::path_of(url).is_some());
        let client = match builder()?.build() {
            Err(_) if plain => builder()?.tls_certs_only([]).build(),
            built => built,
        };
        let client = client.map_err(|error| {
            anyhow::anyhow!(
                "cannot set up https: {}; is the package ca-certificates installed?",
                cause(&error)
            )
        })?;
        Ok(Self {
            client,
            limits: limits.clone(),
        })
    }

    /// Asks for `url`, from byte `from` on. Anything but success is trouble.
    pub(super) fn get(&self, url: &str, from: u64) -> Result<Response, Trouble> {
        let mut request = self.client.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        self.answer(request.send())
    }

    /// Whether `url` exists, and how long it says that it is.
    pub(super) fn head(&self, url: &str) -> Result<Option<u64>, Trouble> {
        if let Some(path) = folder::path_of(url) {
            return folder::open(path).map(|(_, length)| Some(length));
        }
        let response = self.answer(self.client.head(url).send())?;
        Ok(content_length(&response))
    }

    /// A small file as a whole, at most `limit` bytes; tried again while trouble may pass.
    pub(super) fn document(&self, url: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        self.document_within(url, limit, Duration::MAX)
    }

    /// The same, if all of it comes within `time`.
    pub(super) fn document_within(&self, url: &str, limit: u64, time: Duration) -> Result<Vec<u8>, Trouble> {
        if let Some(path) = folder::path_of(url) {
            return folder::document(path, limit);
        }
        self.patiently(|| {
            let began = Instant::now();
            let mut response = self.get(url, 0)?;
            let mut bytes = Vec::new();
            let announced = content_length(&response);
            self.copy(&mut response, |chunk| {
                bytes.extend_from_slice(chunk);
                if bytes.len() as u64 > limit {
                    return Err(Trouble::Lasting(format!("it is longer than {limit} bytes")));
                }
                if began.elapsed() > time {
                    return Err(Trouble::Lasting(format!("it takes longer than {time:?}")));
                }
                Ok(())
            })?;
            match announced {
                Some(length) if length != bytes.len() as u64 => Err(cut(bytes.len() as u64, length)),
                _ => Ok(bytes),
            }
        })
    }

    /// Does something until it works, trouble lasts, or the tries are used up.
    pub(super) fn patiently<T>(&self, mut work: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut tried = 1;
        loop {
            match work() {
                Err(Trouble::Passing(_)) if tried < self.limits.tries => {
                    std::thread::sleep(self.limits.pause * tried);
                    tried += 1;
                }
                result => return result,
            }
        }
    }

    /// Hands the body to `write` piece by piece, as long as it comes fast enough.
    pub(super) fn copy<E: From<Trouble>>(
        &self,
        response: &mut Response,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = vec![0; 256 << 10];
        let (mut window, mut arrived) = (Instant::now(), 0);
        loop {
            let count = match response.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.read_trouble(&error).into()),
            };
            write(&buffer[..count])?;
            arrived += count as u64;
            if window.elapsed() >= self.limits.stall {
                if arrived < self.limits.trickle {
                    return Err(self.stalled().into());
                }
                (window, arrived) = (Instant::now(), 0);
            }
        }
    }

    /// The answer, if it is a success.
    fn answer(&self, sent: reqwest::Result<Response>) -> Result<Response, Trouble> {
        let response = sent.map_err(|error| self.send_trouble(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = format!("the server answered {status}");
        Err(match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Trouble::Absent(text),
            StatusCode::RANGE_NOT_SATISFIABLE => Trouble::NoRange(text),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Trouble::Passing(text),
            _ if status.is_server_error() => Trouble::Passing(text),
            _ => Trouble::Lasting(text),
        })
    }

    fn send_trouble(&self, error: &reqwest::Error) -> Trouble {
        if let Some(refused) = refused_redirect(error) {
            return Trouble::Lasting(refused.to_string());
        }
        if error.is_redirect() {
            return Trouble::Lasting(format!(
                "the server redirects more than {} times",
                self.limits.redirects
            ));
        }
        if error.is_timeout() && error.is_connect() {
            return Trouble::Passing(format!("no connection within {:?}", self.limits.connect));
        }
        if error.is_timeout() {
            return self.stalled();
        }
        Trouble::Passing(cause(error))
    }

    fn read_trouble(&self, error: &io::Error) -> Trouble {
        let inner = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<reqwest::Error>());
        match inner {
            Some(inner) if inner.is_timeout() => self.stalled(),
            Some(inner) => Trouble::Passing(format!("the connection broke: {}", cause(inner))),
            None => Trouble::Passing(format!("the connection broke: {error}")),
        }
    }

    fn stalled(&self) -> Trouble {
        Trouble::Passing(format!("the server sends nothing for {:?}", self.limits.stall))
    }
}

fn no_proxy(url: &str) -> String {
    format!("apt's proxy `{}` is no URL", shown(url))
}

/// The connection ended early.
pub(super) fn cut(got: u64, of: u64) -> Trouble {
    Trouble::Passing(format!("the connection was cut after {got} of {of} bytes"))
}

/// What the server says about the length of the body.
pub(super) fn content_length(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// What refused a redirect, if that is why there is no answer.
fn refused_redirect<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a RefusedRedirect> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        next = error.source();
    }
    None
}

/// The innermost cause: the outer ones repeat the URL, which the caller names already.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use testkit::server::{Answer, Server};

    use super::*;

    #[test]
    fn an_answer_that_goes_on_too_long_is_given_up() {
        // Fast enough not to count as a server that hangs.
        let server = Server::start(|_| Answer::whole(&[b'x'; 1_000]).trickle(Duration::from_millis(5)));
        let limits = Limits {
            trickle: 0,
            ..Limits::default()
        };
        let route = Route {
            mirrors: vec![server.url()],
            ..Route::default()
        };
        let http = Http::encrypted(&route, &limits).unwrap();
        let trouble = http
            .document_within(&server.url(), 1 << 20, Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(trouble.into_text(), "it takes longer than 50ms");
        assert_eq!(server.requests().len(), 1);
    }

    #[test]
    fn nothing_leads_from_https_to_plain_http() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (before, next, stays) in [
            ("https://a.example/k", "https://b.example/k", true),
            ("https://a.example/k", "http://a.example/k", false),
            ("https://a.example/k", "ftp://a.example/k", false),
            ("http://mirror.example/k", "https://b.example/k", true),
            ("http://mirror.example/k", "http://mirror.example/l", true),
            ("http://mirror.example/k", "http://mirror.example:8080/k", false),
            ("http://mirror.example/k", "http://b.example/k", false),
        ] {
            assert_eq!(
                stays_encrypted(&[url(before)], &url(next)),
                stays,
                "{before} {next}"
            );
        }
        let both = [url("http://mirror.example/"), url("https://b.example/")];
        assert!(!stays_encrypted(&both, &url("http://mirror.example/")));
    }
}

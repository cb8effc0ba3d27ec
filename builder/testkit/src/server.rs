//! An HTTP server on the loopback address that answers as a test scripts it: whole files, ranges, and every way in which
//! a server can go wrong. It remembers what it was asked for and how much it sent.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// What follows the host, with its `/`.
    pub path: String,
    /// First byte of `Range: bytes=N-`.
    pub from: Option<u64>,
    /// How often this path was asked for before.
    pub before: usize,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length_told: bool,
    manner: Manner,
}

/// How a body is sent.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// All of it at once.
    Whole,
    /// So many bytes, then the connection is closed.
    Cut(usize),
    /// So many bytes, then nothing, while the connection stays open.
    Stall(usize),
    /// One byte at a time, with a pause after each.
    Trickle(Duration),
    /// Again and again, until the client has enough.
    Endless,
}

/// What was asked for and how many bytes of bodies were sent.
#[derive(Debug, Default)]
struct Record {
    requests: Vec<Request>,
    sent: u64,
}

/// A server; it stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    stopped: Arc<AtomicBool>,
}

impl Answer {
    /// A file: from the byte that was asked for on, as a server does that knows ranges.
    pub fn file(request: &Request, bytes: &[u8]) -> Self {
        let size = bytes.len() as u64;
        match request.from {
            None => Self::whole(bytes),
            Some(from) if from < size => {
                let range = format!("bytes {from}-{}/{size}", size - 1);
                Self {
                    body: bytes[from as usize..].to_vec(),
                    ..Self::status(206)
                }
                .header("Content-Range", &range)
            }
            Some(_) => Self::status(416),
        }
    }

    /// A file from its beginning, whatever was asked for.
    pub fn whole(bytes: &[u8]) -> Self {
        Self {
            body: bytes.to_vec(),
            ..Self::status(200)
        }
    }

    /// A status and no body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            length_told: true,
            manner: Manner::Whole,
        }
    }

    /// A redirect to `url`.
    pub fn redirect(url: &str) -> Self {
        Self::status(302).header("Location", url)
    }

    /// With a header, instead of one of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without `Content-Length`: the end of the connection is the end of the body.
    pub fn without_length(self) -> Self {
        Self {
            length_told: false,
            ..self
        }
    }

    /// Closes the connection after so many bytes of the body.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self {
            manner: Manner::Cut(bytes),
            ..self
        }
    }

    /// Sends so many bytes of the body and then nothing more.
    pub fn stall_after(self, bytes: usize) -> Self {
        Self {
            manner: Manner::Stall(bytes),
            ..self
        }
    }

    /// Sends the body again and again, without an end.
    pub fn endless(self) -> Self {
        Self {
            length_told: false,
            manner: Manner::Endless,
            ..self
        }
    }

    /// Sends a byte at a time with a pause after each.
    pub fn trickle(self, pause: Duration) -> Self {
        Self {
            manner: Manner::Trickle(pause),
            ..self
        }
    }
}

impl Server {
    /// A server that answers with `answer`, on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is no loopback network: no test of a download can run then.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no loopback network: {error}"));
        let address = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("the loopback network has no address: {error}"));
        let record = Arc::new(Mutex::new(Record::default()));
        let stopped = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let (shared_record, shared_stopped) = (record.clone(), stopped.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared_stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (answer, record, stopped) =
                    (answer.clone(), shared_record.clone(), shared_stopped.clone());
                // A client that goes away in the middle is part of many a test.
                thread::spawn(move || serve(stream, answer.as_ref(), &record, &stopped).ok());
            }
        });
        Self {
            address,
            record,
            stopped,
        }
    }

    /// A server of files by path (without the leading `/`), which knows ranges.
    pub fn of_files(files: HashMap<String, Vec<u8>>) -> Self {
        Self::start(
            move |request| match files.get(request.path.trim_start_matches('/')) {
                Some(bytes) => Answer::file(request, bytes),
                None => Answer::status(404),
            },
        )
    }

    /// Its URL, ending in `/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What it was asked for, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.record).requests.clone()
    }

    /// Bytes of bodies that it sent.
    pub fn sent(&self) -> u64 {
        lock(&self.record).sent
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for the next connection.
        TcpStream::connect(self.address).ok();
    }
}

/// A record that a failed test left is still a record.
fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request; then the connection is closed.
fn serve(
    stream: TcpStream,
    answer: &(impl Fn(&Request) -> Answer + ?Sized),
    record: &Mutex<Record>,
    stopped: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let mut from = None;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    let request = {
        let mut record = lock(record);
        let before = record
            .requests
            .iter()
            .filter(|request| request.path == path)
            .count();
        let request = Request {
            method,
            path,
            from,
            before,
        };
        record.requests.push(request.clone());
        request
    };
    let answer = answer(&request);
    send(stream, &request, &answer, record, stopped)
}

fn send(
    mut stream: TcpStream,
    request: &Request,
    answer: &Answer,
    record: &Mutex<Record>,
    stopped: &AtomicBool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.length_told {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let mut write = |bytes: &[u8]| -> std::io::Result<()> {
        stream.write_all(bytes)?;
        stream.flush()?;
        lock(record).sent += bytes.len() as u64;
        Ok(())
    };
    match answer.manner {
        Manner::Whole => write(&answer.body),
        Manner::Cut(count) => write(&answer.body[..count]),
        Manner::Stall(count) => {
            write(&answer.body[..count])?;
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Manner::Endless => {
            while !stopped.load(Ordering::Relaxed) {
                write(&answer.body)?;
            }
            Ok(())
        }
        Manner::Trickle(pause) => answer.body.chunks(1).try_for_each(|byte| {
            write(byte)?;
            thread::sleep(pause);
            Ok(())
        }),
    }
}

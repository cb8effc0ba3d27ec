//! Downloads from servers that truncate, stall, lie, loop and die.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use engine::is_verification_failure;
use fetch::{Mirrors, obtain};
use testkit::server::{Answer, Server};
use testmirror::workbench::{Workbench, content, locked, offline, text};

fn mirrors(servers: &[&Server]) -> Mirrors {
    Mirrors::listed(servers.iter().map(|server| server.url()).collect())
}

#[test]
fn a_file_is_fetched_once_and_found_afterwards() {
    let bench = Workbench::new();
    let bytes = content(700_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request| Answer::file(request, &body));
    let path = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(path.file_name().unwrap().to_str(), Some("thing_1.2.orig.tar.xz"));
    let again = obtain(&bench.engine, &file, &mirrors(&[&server]), &offline()).unwrap();
    assert_eq!(again, path);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(bench.cached().len(), 1, "{:?}", bench.cached());
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let bench = Workbench::new();
    let bytes = content(300_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request| {
        let answer = Answer::file(request, &body);
        match request.before {
            0 => answer.cut_after(100_000),
            1 => answer.cut_after(50_000),
            _ => answer,
        }
    });
    let path = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    let starts: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(starts, [None, Some(100_000), Some(150_000)]);
    assert_eq!(server.sent(), 300_000, "no byte is sent twice");
}

#[test]
fn the_next_run_goes_on_too_even_with_another_mirror() {
    let bench = Workbench::new();
    let bytes = content(300_000);
    let file = locked(&bytes);
    let (first, second) = (bytes.clone(), bytes.clone());
    // Each try brings nothing new after the first, so it is given up.
    let broken = Server::start(move |request| match request.before {
        0 => Answer::file(request, &first).cut_after(120_000),
        _ => Answer::status(503),
    });
    let error = text(obtain(&bench.engine, &file, &mirrors(&[&broken]), &bench.network));
    assert!(error.contains("the server answered 503"), "{error}");
    let kept: Vec<_> = bench.cached();
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0].to_string_lossy().ends_with(".orig.tar.xz.part"),
        "{kept:?}"
    );

    let whole = Server::start(move |request| Answer::file(request, &second));
    let path = obtain(&bench.engine, &file, &mirrors(&[&whole]), &bench.network).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(whole.requests()[0].from, Some(120_000));
    assert_eq!(bench.cached().len(), 1);
}

#[test]
fn a_server_without_ranges_is_asked_for_everything() {
    let bench = Workbench::new();
    let bytes = content(200_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request| match request.before {
        0 => Answer::whole(&body).cut_after(150_000),
        _ => Answer::whole(&body),
    });
    let path = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(server.sent(), 350_000);
}

#[test]
fn a_server_that_refuses_or_garbles_ranges_is_asked_for_everything() {
    for garbled in [false, true] {
        let bench = Workbench::new();
        let bytes = content(200_000);
        let file = locked(&bytes);
        let body = bytes.clone();
        let server = Server::start(move |request| match (request.before, garbled) {
            (0, _) => Answer::file(request, &body).cut_after(150_000),
            (1, false) => Answer::status(416),
            (1, true) => Answer::file(request, &body).header("Content-Range", "bytes 7-199999/200000"),
            _ => Answer::file(request, &body),
        });
        let result = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network);
        assert_eq!(fs::read(result.unwrap()).unwrap(), bytes);
    }
}

#[test]
fn a_damaged_beginning_is_thrown_away_and_fetched_anew() {
    let bench = Workbench::new();
    let bytes = content(200_000);
    let file = locked(&bytes);
    let folder = bench.folder_of(&file);
    fs::create_dir_all(&folder).unwrap();
    for wrong in [vec![1; 90_000], vec![1; 200_000], vec![1; 200_001]] {
        fs::write(folder.join("thing_1.2.orig.tar.xz.part"), wrong).unwrap();
        let body = bytes.clone();
        let server = Server::start(move |request| Answer::file(request, &body));
        let path = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(server.requests().last().unwrap().from, None);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_dead_first_mirror_leaves_it_to_the_second() {
    let bench = Workbench::new();
    let bytes = content(50_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let good = Server::start(move |request| Answer::file(request, &body));
    // Nobody listens on the port of a server that was stopped.
    let dead = Server::start(|_| Answer::status(200)).url();
    let mirrors = Mirrors::listed(vec![dead, good.url()]);
    let path = obtain(&bench.engine, &file, &mirrors, &bench.network).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

/// What each bad server is answered with: part of the error; whether it is one of verification; tries.
fn bad_server(
    answer: impl Fn(&testkit::server::Request, &[u8]) -> Answer + Send + Sync + 'static,
    expected: &str,
    verification: bool,
    tries: usize,
) {
    let bench = Workbench::new();
    let bytes = content(100_000);
    let file = locked(&bytes);
    let server = Server::start(move |request| answer(request, &bytes));
    let error = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap_err();
    let shown = format!("{error:#}");
    assert!(shown.contains(expected), "{expected}: {shown}");
    assert!(
        shown.starts_with("cannot fetch thing_1.2.orig.tar.xz (97.7 KiB):\n  http://127.0.0.1:"),
        "{shown}"
    );
    assert_eq!(is_verification_failure(&error), verification, "{shown}");
    assert_eq!(server.requests().len(), tries, "{shown}");
    // Nothing but the beginning of a file that was cut.
    assert!(
        bench
            .cached()
            .iter()
            .all(|path| path.extension().is_some_and(|extension| extension == "part")),
        "{:?}",
        bench.cached()
    );
}

#[test]
fn a_missing_file_is_not_asked_for_again() {
    bad_server(|_, _| Answer::status(404), "the server answered 404", false, 1);
    bad_server(|_, _| Answer::status(403), "the server answered 403", false, 1);
}

#[test]
fn a_version_that_no_mirror_has_any_more_says_what_to_do() {
    let expected = "\nmirrors drop old versions: `portadc update` takes the newest";
    bad_server(|_, _| Answer::status(404), expected, false, 1);
    bad_server(|_, _| Answer::status(410), expected, false, 1);
}

#[test]
fn a_failing_server_is_asked_again() {
    bad_server(|_, _| Answer::status(500), "the server answered 500", false, 3);
    bad_server(|_, _| Answer::status(429), "the server answered 429", false, 3);
}

#[test]
fn changed_bytes_are_refused() {
    let change = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[77_777] ^= 1;
        bytes
    };
    bad_server(
        move |_, bytes| Answer::whole(&change(bytes)),
        "its hash is ",
        true,
        1,
    );
}

#[test]
fn a_wrong_size_is_refused_before_the_transfer() {
    let longer = |bytes: &[u8]| Answer::whole(&[bytes, b"x"].concat());
    bad_server(
        move |_, bytes| longer(bytes),
        "it has 100001 bytes instead of 100000",
        false,
        1,
    );
    bad_server(
        |_, bytes| Answer::whole(&bytes[1..]),
        "it has 99999 bytes instead of 100000",
        false,
        1,
    );
}

#[test]
fn an_endless_file_is_left_at_its_size() {
    bad_server(
        |_, bytes| Answer::whole(&bytes.repeat(3)).without_length(),
        "it has more than 100000 bytes",
        false,
        1,
    );
}

#[test]
fn a_loop_of_redirects_is_left() {
    bad_server(
        |request, _| Answer::redirect(&format!("/again{}", request.path)),
        "the server redirects more than 3 times",
        false,
        4,
    );
}

#[test]
fn a_connection_that_is_always_cut_at_the_same_byte_is_given_up() {
    bad_server(
        |_, bytes| Answer::whole(bytes).cut_after(10_000),
        "broke",
        false,
        3,
    );
}

#[test]
fn a_server_that_stalls_is_left() {
    let begun = Instant::now();
    bad_server(
        |_, bytes| Answer::whole(bytes).stall_after(10),
        "the server sends nothing for 300ms",
        false,
        3,
    );
    bad_server(
        |_, bytes| Answer::whole(bytes).trickle(Duration::from_millis(20)),
        "the server sends nothing for 300ms",
        false,
        3,
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn offline_says_what_is_missing_and_what_to_do() {
    let bench = Workbench::new();
    let error = text(obtain(
        &bench.engine,
        &locked(b"abc"),
        &Mirrors::listed(vec!["http://127.0.0.1:1/".into()]),
        &offline(),
    ));
    assert!(
        error.starts_with("thing_1.2.orig.tar.xz (3 bytes) is not in the cache "),
        "{error}"
    );
    assert!(
        error.ends_with("once without `--offline`, or name a folder that has it with `--mirror`"),
        "{error}"
    );
}

#[test]
fn a_file_that_rots_in_the_cache_is_noticed() {
    let bench = Workbench::new();
    let bytes = content(50_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request| Answer::file(request, &body));
    let path = obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
    let mut rotten = bytes.clone();
    rotten[9] ^= 1;
    fs::write(&path, rotten).unwrap();
    let error = obtain(&bench.engine, &file, &mirrors(&[&server]), &offline()).unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn two_at_once_fetch_it_once() {
    let bench = Workbench::new();
    let bytes = content(400_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request| {
        std::thread::sleep(Duration::from_millis(100));
        Answer::file(request, &body)
    });
    // The lock belongs to an open file, so two threads stand for two processes.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let engine = testmirror::workbench::engine(bench.engine.cache.root());
                let path = obtain(&engine, &file, &mirrors(&[&server]), &bench.network).unwrap();
                assert_eq!(fs::read(path).unwrap(), bytes);
            });
        }
    });
    assert_eq!(server.requests().len(), 1);
    assert_eq!(bench.cached().len(), 1, "{:?}", bench.cached());
}

#[test]
fn the_second_takes_over_when_the_first_fails() {
    let bench = Workbench::new();
    let bytes = content(40_000);
    let file = locked(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request| {
        std::thread::sleep(Duration::from_millis(50));
        match request.before {
            0 => Answer::status(404),
            _ => Answer::file(request, &body),
        }
    });
    let results: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network).is_ok())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|done| **done).count(), 2);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_full_disk_leaves_nothing() {
    let bench = Workbench::new();
    let bytes = content(100_000);
    let file = locked(&bytes);
    let folder = bench.folder_of(&file);
    fs::create_dir_all(&folder).unwrap();
    // The kernel's own full disk.
    symlink("/dev/full", folder.join("thing_1.2.orig.tar.xz.part")).unwrap();
    let server = Server::start(move |request| Answer::file(request, &bytes));
    let error = text(obtain(&bench.engine, &file, &mirrors(&[&server]), &bench.network));
    assert!(
        error.starts_with("cannot write ") && error.contains("No space left on device"),
        "{error}"
    );
    assert_eq!(bench.cached().len(), 0);
    assert!(!folder.exists());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    // Nobody makes folders in /proc, root neither.
    let engine = testmirror::workbench::engine("/proc".as_ref());
    let server = Server::start(|_| Answer::whole(b"abc"));
    let error = text(obtain(
        &engine,
        &locked(b"abc"),
        &mirrors(&[&server]),
        &testmirror::workbench::impatient(),
    ));
    assert!(
        error.starts_with("cannot make the folder /proc/sources/"),
        "{error}"
    );
    assert_eq!(
        server.requests().len(),
        0,
        "nothing is fetched that cannot be kept"
    );
}

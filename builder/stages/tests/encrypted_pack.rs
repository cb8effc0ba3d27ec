//! Packs whose deltas are encrypted: only who has the key reads them, age itself among them; what is not as it was encrypted
//! is refused; what did not change is not encrypted again; nobody else can reach the files.

#![allow(missing_docs, clippy::unwrap_used)]

mod cards;
mod packs;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use engine::is_verification_failure;
use formats::seekable::Reader;
use formats::source::{ReadAt, WholeBlob};
use packs::{Bench, NODES, names};
use stages::delta_base::ImageFormat;
use stages::inspect::Image;
use stages::pack::{Identities, Pack, PackFolder, PackWriter, Recipients};
use testkit::oracle;

/// A key pair, made by age itself: the file of the private key, and the public key.
fn key_pair(folder: &Path, name: &str) -> (PathBuf, String) {
    let file = folder.join(name);
    oracle::run("age", "age-keygen", [OsStr::new("-o"), file.as_os_str()]);
    let public = oracle::run("age", "age-keygen", [OsStr::new("-y"), file.as_os_str()]);
    (file, public.trim().to_owned())
}

/// A pack that is encrypted to two recipients, and the keys of one of them.
struct Encrypted {
    bench: Bench,
    key: PathBuf,
    recipients: Recipients,
}

impl Encrypted {
    fn new() -> Self {
        let bench = Bench::new();
        fs::remove_dir_all(bench.path("pack")).unwrap();
        let (key, public) = key_pair(bench.folder.path(), "key");
        let (_, other) = key_pair(bench.folder.path(), "other");
        let recipients = Recipients::parse([&*public, &*other]).unwrap();
        bench.write_to(&recipients);
        Self {
            bench,
            key,
            recipients,
        }
    }

    fn identities(&self) -> Identities {
        Identities::load(&self.key).unwrap()
    }

    fn delta(&self, node: &str) -> PathBuf {
        self.bench.path("pack").join(format!("{node}.delta.age"))
    }
}

/// What a node has in a file of its own that only root may read.
fn secret(node: &str) -> Vec<u8> {
    node.repeat(20).into_bytes()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// All bytes of the base, uncompressed.
fn base_of(pack: &Path) -> Vec<u8> {
    let file = fs::File::open(pack.join("role.board.card.img.zst")).unwrap();
    let reader = Reader::open(WholeBlob::new(file.into()).unwrap()).unwrap();
    let mut bytes = vec![0; reader.size() as usize];
    reader.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn what_is_a_node_s_own_is_in_nothing_that_can_be_read_without_the_key() {
    let encrypted = Encrypted::new();
    let pack = encrypted.bench.path("pack");
    assert_eq!(
        names(&pack),
        [
            "blue-02.delta.age",
            "blue-02.manifest.json",
            "index.json",
            "red-01.delta.age",
            "red-01.manifest.json",
            "role.board.card.img.bmap",
            "role.board.card.img.zst",
        ]
    );
    for node in NODES {
        // Of the card it can be read: the search would find it.
        assert!(contains(
            &fs::read(cards::card("of the role", node).path).unwrap(),
            &secret(node)
        ));
        for name in names(&pack) {
            let bytes = fs::read(pack.join(&name)).unwrap();
            assert!(!contains(&bytes, &secret(node)), "{name} has what is {node}'s");
        }
        assert!(!contains(&base_of(&pack), &secret(node)));
    }
    // A pack in plain has it, which shows that it would be found.
    let plain = Bench::new();
    assert!(contains(
        &fs::read(plain.path("pack/red-01.delta")).unwrap(),
        &secret("red-01")
    ));
}

#[test]
fn images_are_those_of_a_plain_pack_and_age_decrypts_the_deltas() {
    let encrypted = Encrypted::new();
    let plain = Bench::new();
    for format in ImageFormat::ALL {
        encrypted
            .bench
            .export_with(format, Some(encrypted.identities()))
            .unwrap();
        plain.export(format).unwrap();
    }
    let (exported, expected) = (encrypted.bench.path("exported"), plain.path("exported"));
    assert_eq!(names(&exported).len(), 8);
    for name in names(&expected) {
        assert!(
            fs::read(exported.join(&name)).unwrap() == fs::read(expected.join(&name)).unwrap(),
            "{name}"
        );
        assert_eq!(
            fs::metadata(exported.join(&name)).unwrap().mode() & 0o7777,
            0o600,
            "{name}"
        );
    }
    assert_eq!(fs::metadata(&exported).unwrap().mode() & 0o7777, 0o700);
    for node in NODES {
        let decrypted = encrypted.bench.path("decrypted");
        let delta = encrypted.delta(node);
        let (key, decrypted_to) = (encrypted.key.as_os_str(), decrypted.as_os_str());
        let (option_i, option_o) = (OsStr::new("-i"), OsStr::new("-o"));
        oracle::run(
            "age",
            "age",
            [
                OsStr::new("-d"),
                option_i,
                key,
                option_o,
                decrypted_to,
                delta.as_os_str(),
            ],
        );
        let expected = fs::read(plain.path("pack").join(format!("{node}.delta"))).unwrap();
        assert!(fs::read(&decrypted).unwrap() == expected);
        let image = Image::open_with(&delta, Some(encrypted.identities())).unwrap();
        assert!(image.table.is_some());
    }
}

#[test]
fn what_did_not_change_is_not_encrypted_again() {
    let encrypted = Encrypted::new();
    let read = || NODES.map(|node| fs::read(encrypted.delta(node)).unwrap());
    let before = read();
    encrypted.bench.write_to(&encrypted.recipients);
    assert!(read() == before);
    // To others it is.
    let (_, public) = key_pair(encrypted.bench.folder.path(), "third");
    encrypted.bench.write_to(&Recipients::parse([&*public]).unwrap());
    let after = read();
    for (one, other) in before.iter().zip(&after) {
        assert!(one != other);
    }
    let refused = encrypted
        .bench
        .export_with(ImageFormat::Plain, Some(encrypted.identities()))
        .unwrap_err();
    assert!(format!("{refused:#}").contains(&format!("as the pack's index says, to {public}")));
    // A delta that was touched is not taken over.
    let third = Recipients::parse([&*public]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(encrypted.delta("red-01"), b"garbage").unwrap();
    encrypted.bench.write_to(&third);
    assert!(fs::read(encrypted.delta("red-01")).unwrap() != b"garbage");
}

#[test]
fn whoever_has_no_right_key_is_told_before_anything_is_written() {
    let encrypted = Encrypted::new();
    let refusal = |identities| {
        let error = encrypted
            .bench
            .export_with(ImageFormat::Plain, identities)
            .unwrap_err();
        assert!(!encrypted.bench.path("exported").exists());
        format!("{error:#}")
    };
    let said = refusal(None);
    assert!(
        said.contains("red-01.delta.age: it is encrypted to age1") && said.contains("--identity"),
        "{said}"
    );
    let (stranger, _) = key_pair(encrypted.bench.folder.path(), "stranger");
    let said = refusal(Some(Identities::load(&stranger).unwrap()));
    assert!(said.contains("it is encrypted to none of the keys in "), "{said}");
    // A pack that somebody has replaced by one in plain.
    let plain = Bench::new();
    let error = plain
        .export_with(ImageFormat::Plain, Some(encrypted.identities()))
        .unwrap_err();
    assert!(format!("{error:#}").contains("is not encrypted, but an identity file was given"));
    assert!(!plain.path("exported").exists());
}

#[test]
fn whatever_is_not_as_it_was_encrypted_is_refused() {
    let encrypted = Encrypted::new();
    let identities = encrypted.identities();
    let whole = fs::read(encrypted.delta("red-01")).unwrap();
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        encrypted
            .bench
            .refusal_with("red-01.delta.age", change, Some(&identities))
    };
    // In the header, in the nonce, within the first chunk, at its end, and in the last one.
    let header = whole.windows(5).position(|window| window == b"\n--- ").unwrap();
    for at in [
        30,
        header - 3,
        header + 20,
        header + 60,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        let said = damage(&|bytes| bytes[at] ^= 4);
        assert!(said.contains("red-01.delta.age: it is "), "{at}: {said}");
    }
    for length in [22, 100, header, header + 60, whole.len() / 2, whole.len() - 1] {
        let said = damage(&|bytes| bytes.truncate(length));
        assert!(
            said.ends_with("it is damaged: no whole file of age, or changed since it was encrypted"),
            "{length}: {said}"
        );
    }
    let said = damage(&|bytes| bytes.extend_from_slice(b"more"));
    assert!(said.contains("it is damaged"), "{said}");

    // A delta in plain: whoever put it there need not know any key.
    let plain = Bench::new();
    let smuggled = fs::read(plain.path("pack/red-01.delta")).unwrap();
    let said = damage(&|bytes| bytes.clone_from(&smuggled));
    assert!(
        said.contains("it is not encrypted, though the pack's index says so"),
        "{said}"
    );
    // One that is encrypted to the right recipients, as anybody can: of another node, and of another's making.
    let other = fs::read(encrypted.delta("blue-02")).unwrap();
    let said = damage(&|bytes| bytes.clone_from(&other));
    assert!(said.contains("what it holds has SHA-256 "), "{said}");
    let text = encrypted.bench.path("text");
    fs::write(&text, "no delta").unwrap();
    let forged = encrypted.bench.path("forged");
    let keys = encrypted.recipients.keys();
    let to = keys
        .iter()
        .flat_map(|public| [OsStr::new("-r"), OsStr::new(public)]);
    oracle::run(
        "age",
        "age",
        to.chain([OsStr::new("-o"), forged.as_os_str(), text.as_os_str()]),
    );
    let forged = fs::read(forged).unwrap();
    let said = damage(&|bytes| bytes.clone_from(&forged));
    assert!(said.contains("what it holds has SHA-256 "), "{said}");

    // All of these are failures of a verification, as the exit code tells.
    fs::write(encrypted.delta("red-01"), smuggled).unwrap();
    let error = encrypted
        .bench
        .export_with(ImageFormat::Plain, Some(identities.clone()))
        .unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    // An index that hides that deltas are encrypted, or says so of plain ones.
    let index = encrypted.bench.path("pack/index.json");
    let text = fs::read_to_string(&index).unwrap();
    for changed in [
        text.replace("\"format\": 2", "\"format\": 1"),
        text.replacen("\"delta_sha256\"", "\"inputs_\"", 1),
    ] {
        fs::write(&index, changed).unwrap();
        assert!(Pack::open(&encrypted.bench.path("pack")).is_err());
    }
}

#[test]
fn nobody_else_can_reach_a_pack() {
    let bench = Bench::new();
    let pack = bench.path("pack");
    let modes = || -> Vec<u32> {
        let files = names(&pack).into_iter().map(|name| pack.join(name));
        let all = files.chain([pack.clone()]);
        all.map(|path| fs::metadata(path).unwrap().mode() & 0o7777)
            .collect()
    };
    let closed = [vec![0o600; modes().len() - 1], vec![0o700]].concat();
    assert_eq!(modes(), closed);
    // One of an older version, which the next build closes and tells of, once.
    for name in names(&pack) {
        fs::set_permissions(pack.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = PackFolder::open(&pack).unwrap();
    let said = folder.narrowed.clone().unwrap();
    assert!(
        said.contains("could be entered by others (mode 0755), with 7 files"),
        "{said}"
    );
    assert_eq!(modes(), closed);
    // While it grows, too.
    let recipients = Recipients::default();
    let writer = PackWriter::create(&folder, &recipients).unwrap();
    writer.keep_node("red-01").unwrap();
    let growing = bench.path(".portadc-pack");
    assert_eq!(fs::metadata(&growing).unwrap().mode() & 0o7777, 0o700);
    drop(writer);
    drop(folder);
    assert_eq!(PackFolder::open(&pack).unwrap().narrowed, None);
}

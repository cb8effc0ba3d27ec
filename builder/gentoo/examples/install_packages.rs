//! Installs binary packages into the system that a tar on standard input has; writes the whole system as a tar to
//! standard output and the report to standard error. What `ci/check-install` compares with what portage does.
//!
//! ```text
//! tar -C ROOT -c . | install_packages [--leave-out PATTERN] [--drop-package-manager] PACKAGE... | tar -C NEW -x
//! tar -C ROOT -c . | install_packages --layer FOLDER PACKAGE...
//! ```
//!
//! Packages whose file is given with a `+` in front are what the user asked for. With `--layer` nothing is written but the
//! packages' layer, as builds keep it: the files `index` and `blob` in a folder. That is what `ci/bench` measures.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use formats::blob::Blob;
use formats::layer::{Compression, Devices, Inline, Layer, Limits, Packing, TarOptions, ZstdLevel, from_tar};
use formats::tar::{Kind, TarWriter};
use formats::tree::{InodeId, InodeKind, Share, Tree};
use formats::units::Time;
use gentoo::binary::{BinaryPackage, Expected, Signatures};
use gentoo::install::{Installer, Options, PackageInput};
use gentoo::{Cpv, Filters, PackageManager};

/// The time of what no package gives one.
const TIME: Time = Time::from_seconds(1_700_000_000);

/// Nobody signs the packages of a test.
struct Unsigned;

impl Signatures for Unsigned {
    fn text(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("nobody is known who signs".to_owned())
    }

    fn required(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut patterns = Vec::new();
    let mut package_manager = PackageManager::Keep;
    let mut layer = None;
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &argument[..] {
            "--leave-out" => patterns.extend(arguments.next()),
            "--drop-package-manager" => package_manager = PackageManager::Drop,
            "--layer" => layer = arguments.next().map(PathBuf::from),
            _ => files.push(argument),
        }
    }
    let packing = Packing {
        compression: Compression::Zstd(ZstdLevel::DEFAULT),
        inline: Inline::Smallest,
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let options = TarOptions {
        packing,
        devices: Devices::Allowed,
        limits: Limits::default(),
    };
    let base = temporary()?;
    let index = from_tar(io::stdin().lock(), BufWriter::new(base.try_clone()?), &options)?;
    let base: Layer = index.with_blob(base.into())?;

    let blob = match &layer {
        Some(folder) => File::create_new(folder.join("blob"))?,
        None => temporary()?,
    };
    let options = Options {
        filters: Filters::new(&patterns, package_manager)?,
        ..Options::new(packing, TIME)
    };
    let mut installer = Installer::new(&base, BufWriter::new(blob.try_clone()?), options)?;
    for argument in &files {
        let file = argument.strip_prefix('+').unwrap_or(argument);
        let package = BinaryPackage::open(File::open(file)?, &Expected::default(), &Unsigned)?;
        let text = |name: &str| {
            String::from_utf8_lossy(&package.metadata()[name])
                .trim()
                .to_owned()
        };
        let cpv: Cpv = format!("{}/{}", text("CATEGORY"), text("PF")).parse()?;
        let mut image = package.image()?;
        let prefix = image.prefix();
        let input = PackageInput {
            cpv: &cpv,
            metadata: package.metadata(),
            image: &mut image,
            prefix,
            bin_md5: package.md5(),
            requested: argument.starts_with('+'),
        };
        if let Err(error) = installer.add(input) {
            let mut chain: &dyn Error = &error;
            eprint!("error: {error}");
            while let Some(source) = chain.source() {
                eprint!(": {source}");
                chain = source;
            }
            eprintln!();
            std::process::exit(1);
        }
    }
    let installed = installer.finish()?;
    installed.blob.into_inner()?;
    if let Some(folder) = layer {
        fs::write(folder.join("index"), installed.index.to_bytes())?;
        return Ok(());
    }
    eprintln!("{}", serde_json::to_string_pretty(&installed.report)?);
    let over = installed.index.with_blob(blob.into())?;
    let base = base.without(&installed.removed);
    let tree = Tree::stack(&[(&base, Share::Role), (&over, Share::Role)], TIME)?;
    write(&tree)?;
    Ok(())
}

/// A file without a name.
fn temporary() -> io::Result<File> {
    tempfile::tempfile()
}

/// Writes a tree as a tar.
fn write(tree: &Tree) -> Result<(), Box<dyn Error>> {
    let mut tar = TarWriter::new(BufWriter::with_capacity(1 << 20, io::stdout().lock()));
    let mut first: HashMap<InodeId, Vec<u8>> = HashMap::new();
    for (path, id) in tree.walk() {
        let inode = &tree.inodes[id.0];
        let mut member = |kind: &Kind<'_>| tar.member(&path, &inode.attributes, kind);
        if let (Some(earlier), None) = (first.get(&id), tree.names(id)) {
            member(&Kind::Hardlink(earlier))?;
            continue;
        }
        first.insert(id, path.clone());
        match &inode.kind {
            InodeKind::Directory(_) => member(&Kind::Directory)?,
            InodeKind::Symlink(target) => member(&Kind::Symlink(target))?,
            InodeKind::CharacterDevice(device) => member(&Kind::CharacterDevice(*device))?,
            InodeKind::BlockDevice(device) => member(&Kind::BlockDevice(*device))?,
            InodeKind::Fifo => member(&Kind::Fifo)?,
            // No tar has them.
            InodeKind::Socket => continue,
            InodeKind::File(content, blob) => {
                let regions = 0..content.size;
                let regions = if content.size == 0 { vec![] } else { vec![regions] };
                let size = content.size;
                let zeros = member(&Kind::File {
                    size,
                    regions: &regions,
                })?;
                tar.data(&read(content, blob)?)?;
                tar.end_file()?;
                zeros
            }
        };
    }
    tar.finish()?.flush()?;
    Ok(())
}

fn read(content: &formats::layer::Content, blob: &Blob) -> io::Result<Vec<u8>> {
    content.read(blob, 1 << 30)
}

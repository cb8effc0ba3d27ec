//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use formats::fip::{Id, Nonce};
use model::sources::Series;
use stages::firmware::{parse_id, parse_nonce};

pub use self::identity::IdentityCommand;
pub use init::InitArguments;

#[cfg(test)]
mod documented;
mod identity;
mod init;

/// Ready-to-flash microSD images for a portable datacenter
#[derive(Debug, Parser)]
#[command(name = "portadc", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 verification failed, 4 device refused; of diff: 0 the same, 1 \
     different, 2 trouble; of audit: 0 nothing is open, 1 something is, 2 trouble";

/// Options of every command
#[derive(Debug, Args)]
pub struct Common {
    /// Folder of the project [default: the nearest one upwards that has images/fleet.toml]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Folder of the cache [default: $XDG_CACHE_HOME/portadc or ~/.cache/portadc]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Folder of images, logs and reports [default: out in the project]
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Jobs at once [default: the number of processors]
    #[arg(short, long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Errors and results only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More about what is being done
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// For programs: the result as JSON on standard output, where a command has one
    #[arg(long, global = true)]
    pub json: bool,
}

/// Where sources come from
#[derive(Debug, Args)]
pub struct SourceOptions {
    /// Source set of sources.toml [default: the one that sources.toml names]
    #[arg(long, value_name = "SET")]
    pub sources: Option<String>,
    /// Your own mirror, a server or a folder: instead of the Debian mirror that this machine's apt uses; before the servers of
    /// sources.toml, by the same paths below it
    #[arg(long, value_name = "URL|DIR", value_parser = mirror)]
    pub mirror: Option<String>,
    /// Use what the cache has, and a folder that --mirror names; never the network
    #[arg(long)]
    pub offline: bool,
}

/// Which sources may be used
#[derive(Debug, Args)]
pub struct LockedSourceOptions {
    #[command(flatten)]
    pub from: SourceOptions,
    /// Refuse to build anything that sources.lock does not pin
    #[arg(long)]
    pub locked: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project of your own: a fleet, sources, room for overlays. What is not said is asked for on a terminal
    Init(InitArguments),
    /// Check every rule of the project; all findings at once
    Check,
    /// List the nodes, and the boards, layouts, overlays and kernel fragments that there are: stock, or the project's own
    List,
    /// Print each value of a node, and each part that it is made of, with the file and line it comes from; or what the buses draw
    Show {
        /// The node; without it everything is listed, as `portadc list` does
        node: Option<String>,
        /// Print amperes and watts of each bus: idle, at worst, and what its supply gives
        #[arg(long, conflicts_with = "node")]
        power: bool,
    },
    /// Copy a stock part into the project, to edit: from then on it is used in place of the stock one
    Eject {
        /// The part: overlay/NAME, board/NAME, layout/NAME, kernel/NAME (a fragment) or kernel (kernel.toml); without it those that
        /// there are are named
        #[arg(value_name = "PART")]
        part: Option<String>,
    },
    /// Draw the fleet as one picture: networks and routers, buses slot by slot, containers and what they serve
    Graph {
        /// The file to write [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// How it is drawn
        #[arg(long, value_enum, default_value_t = Drawing::Svg)]
        format: Drawing,
    },
    /// Show what overlays lay on a node, without building it: the paths, one file, or all of them in a folder
    Render {
        /// The nodes
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NODE")]
        nodes: Vec<String>,
        /// Every node of the fleet
        #[arg(long, requires = "output")]
        all: bool,
        /// Print this file of the one node
        #[arg(long, value_name = "PATH", conflicts_with_all = ["all", "output"])]
        file: Option<String>,
        /// Write the files of each node to DIR/NODE; those that only root may read, such as keys, stay out
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Source set of sources.toml [default: the one that sources.toml names]
        #[arg(long, value_name = "SET")]
        sources: Option<String>,
    },
    /// Show what the templates of a node can use: each variable and its value; of keys, nothing
    Context {
        /// The node
        node: String,
        /// Only this variable and what is below it: `node.containers`, `nodes`
        variable: Option<String>,
    },
    /// Print the JSON Schema of a kind of TOML file, for editors
    Schema {
        /// The kind; without it the kinds are listed
        kind: Option<String>,
    },
    /// Resolve and verify versions into sources.lock
    Update {
        #[command(flatten)]
        sources: SourceOptions,
        /// Only what is gone of what is locked: mirrors no longer have it, and the cache does not
        #[arg(long)]
        if_gone: bool,
        /// Take indexes that are older than those that sources.lock knows, and versions that go down
        #[arg(long)]
        allow_downgrade: bool,
    },
    /// Get the keys that sources.toml pins and that are missing, expired or soon will be, into the keyrings that it names
    Keys {
        /// Your own mirror, asked first: below its URL it has .well-known/openpgpkey/DOMAIN/hu/ and pks/lookup
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// Look only at what packages of this machine installed; never use the network
        #[arg(long)]
        offline: bool,
        /// Ask for all of them: for new subkeys, renewals and revocations
        #[arg(long)]
        refresh: bool,
        /// The signers [default: all that have a fingerprint in sources.toml]
        #[arg(value_name = "SIGNER")]
        signers: Vec<String>,
    },
    /// Put everything that sources.lock pins into a folder, which then is a mirror: `--mirror DIR`, or served over http
    Vendor {
        /// The folder
        folder: PathBuf,
        #[command(flatten)]
        sources: SourceOptions,
    },
    /// Hold the packages that sources.lock pins against security advisories; the exit code is 0 where nothing is open, 1 where
    /// something is, 2 where it cannot be told
    Audit {
        /// The advisories: what Debian's security tracker tells as JSON [default: asked for]; for Gentoo a snapshot of the ebuild
        /// repository, or its folder metadata/glsa [default: the snapshot that sources.lock pins]
        #[arg(long, value_name = "FILE|DIR")]
        advisories: Option<PathBuf>,
        /// Only what a newer version mends
        #[arg(long)]
        fixable: bool,
        #[command(flatten)]
        sources: SourceOptions,
    },
    /// Build images into out/images, which only you can read: the nodes' keys are in them
    Build {
        /// The nodes
        #[arg(conflicts_with = "all", value_name = "NODE")]
        nodes: Vec<String>,
        /// Every node of the fleet
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        options: OutputOptions,
        #[command(flatten)]
        sources: LockedSourceOptions,
        /// Folder that has the boot loaders of the board, and u-boot.bin, by the names in board.toml
        #[arg(long, value_name = "DIR")]
        blob_dir: Option<PathBuf>,
    },
    /// Make images of a pack: the very files that a build writes
    Export(ExportArguments),
    /// Draw everything anew that makes a node itself: its card was stolen
    Revoke {
        /// The node
        node: String,
        /// A container that had moved to it, and lay on the card; can be given several times
        #[arg(long, value_name = "NAME")]
        container: Vec<String>,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
    },
    /// Work on what nodes are known by: identity/
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Boot a node's image in QEMU; the image is never written to
    Boot(BootArguments),
    /// Write a node's image to a card and read it back
    Flash {
        /// The node
        node: String,
        /// The card (/dev/sdX, /dev/mmcblkN) or a file
        device: PathBuf,
        /// Write an image that lacks the board's firmware all the same
        #[arg(long)]
        without_firmware: bool,
        /// Write to a disk that is neither removable, nor SD or MMC, nor attached by USB
        #[arg(long)]
        fixed_disk: bool,
        /// Write only what the card does not hold yet; all of it is read back
        #[arg(long)]
        only_changed: bool,
        /// How the rest of the card is tried, since false cards claim more than they hold
        #[arg(long, value_enum, default_value_t = Probe::Places)]
        probe: Probe,
    },
    /// Show what is on an image without mounting it
    Inspect(InspectArguments),
    /// Show in what two images differ; the exit code is 0 where they do not, 1 where they do, 2 where it cannot be told
    Diff {
        /// The first image or volume: a file, or a node of the project
        #[arg(
            required_unless_present = "fleet",
            conflicts_with = "fleet",
            requires = "second"
        )]
        first: Option<String>,
        /// The second one
        #[arg(conflicts_with = "fleet")]
        second: Option<String>,
        /// Compare the images of all nodes: those of a role, board and layout may differ in what is a node's own only
        #[arg(long)]
        fleet: bool,
        #[command(flatten)]
        decryption: Decryption,
    },
    /// Work on the kernel alone
    Kernel {
        #[command(subcommand)]
        command: KernelCommand,
    },
    /// Build a board's U-Boot alone
    #[command(name = "u-boot", args_conflicts_with_subcommands = true)]
    UBoot(UBootArguments),
    /// Work on the boot loaders in front of a card's partitions
    Firmware {
        #[command(subcommand)]
        command: FirmwareCommand,
    },
    /// Make a btrfs volume from a root file system's tar (plain, gzip, bzip2, xz or zstd)
    Volume(VolumeArguments),
    /// Print shell completions
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// A picture for browsers and pages, in light and dark colours
    Svg,
    /// A flowchart for Mermaid, which many pages of Markdown show
    Mermaid,
}

/// How cards are written
#[derive(Debug, Args)]
pub struct OutputOptions {
    /// How the cards are written
    #[arg(long, value_enum, default_value_t = OutputFormat::Img)]
    pub format: OutputFormat,
    /// Also compute the SHA-256 of each whole image for SHA256SUMS, which takes longer than the images; each is checked
    /// against its block map first. Without it the list has the block maps, which have the SHA-256 of every range
    #[arg(long)]
    pub sums: bool,
    /// With --format pack: encrypt the deltas, which have the nodes' keys, to this public key of age (age1...); can be given
    /// several times. What the cards have in common is not encrypted, and has no node's key
    #[arg(long, value_name = "RECIPIENT")]
    pub encrypt_secrets: Vec<String>,
}

/// How what is encrypted in a pack is read
#[derive(Debug, Args)]
pub struct Decryption {
    /// File with a private key of age, to read an encrypted pack
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// At places that tell a false card
    Places,
    /// All of it is filled and read back, and how fast the card is is told; takes as long as filling the card
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// NODE.img in out/images, with holes
    Img,
    /// NODE.img.zst in out/images: frames of at most 1 MiB and a seek table
    Zst,
    /// out/pack: what the cards have in common once, and a small delta for each node
    Pack,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The nodes
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Every node of the pack
    #[arg(long)]
    pub all: bool,
    /// The pack [default: out/pack of the project]
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    /// How the images are written
    #[arg(long, value_enum, default_value_t = ExportFormat::Img)]
    pub format: ExportFormat,
    /// The folder to write into; made for nobody but you where it is missing
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    #[command(flatten)]
    pub decryption: Decryption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// NODE.img, with holes
    Img,
    /// NODE.img.zst: frames of at most 1 MiB and a seek table
    Zst,
}

#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Configure a kernel and compare every requested symbol with the result; compile nothing
    Config {
        /// Series, as 6.12, whose newest version the source set's origin has [default: the locked version]
        #[arg(long, value_name = "SERIES", value_parser = series)]
        series: Option<Series>,
        /// The kernel's source tarball [default: the locked one, fetched]
        #[arg(long, value_name = "TARBALL")]
        source: Option<PathBuf>,
        #[command(flatten)]
        sources: LockedSourceOptions,
    },
}

#[derive(Debug, Subcommand)]
pub enum FirmwareCommand {
    /// Sign boot loaders of an Amlogic S905 and put them together as they lie on a card
    Pack(PackArguments),
    /// Show the boot loaders of an image, ours or another's, and whether they are as they were signed
    Inspect {
        /// The image, the boot area or the FIP: a file, or a node of the project
        image: String,
    },
}

#[derive(Debug, Args)]
pub struct PackArguments {
    /// First stage as its vendor signed it (bl1.bin.hardkernel); a card starts with it
    #[arg(long, value_name = "FILE", required_unless_present = "usb")]
    pub bl1: Option<PathBuf>,
    /// First stage to sign (bl2.package); USB starts with it
    #[arg(long, value_name = "FILE", required_if_eq("usb", "true"))]
    pub bl2: Option<PathBuf>,
    /// Firmware of the system control processor
    #[arg(long, value_name = "FILE")]
    pub bl30: PathBuf,
    /// What the board adds to it; boards that have it in BL30 have none
    #[arg(long, value_name = "FILE")]
    pub bl301: Option<PathBuf>,
    /// Secure monitor
    #[arg(long, value_name = "FILE")]
    pub bl31: PathBuf,
    /// U-Boot (u-boot.bin)
    #[arg(long, value_name = "FILE")]
    pub bl33: PathBuf,
    /// The file to write. On a card, its bytes 440 to 511 belong to the partition table
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write what the boot ROM takes over USB: BL2, signed, and the FIP behind it
    #[arg(long)]
    pub usb: bool,
    /// The sector that the first partition starts at: the boot area has to end before it
    #[arg(long, value_name = "SECTOR", default_value_t = 8192, conflicts_with = "usb")]
    pub partition_1: u32,
    /// What stands in front of a signed BL2, 16 bytes [default: derived from the file]
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    pub nonce: Option<Nonce>,
    /// What stands in the header of each entry of the FIP, 4 bytes each [default: derived from the files]
    #[arg(long, value_name = "HEX,...", value_delimiter = ',', value_parser = parse_id)]
    pub ids: Option<Vec<Id>>,
}

#[derive(Debug, Args)]
pub struct UBootArguments {
    #[command(subcommand)]
    pub command: Option<UBootCommand>,
    #[command(flatten)]
    pub what: UBootOptions,
    /// Copy u-boot.bin to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum UBootCommand {
    /// Configure U-Boot and compare every requested symbol with the result; compile nothing
    Config(UBootOptions),
}

/// Which U-Boot
#[derive(Debug, Args)]
pub struct UBootOptions {
    /// The board [default: the one of the fleet that has a U-Boot]
    pub board: Option<String>,
    /// U-Boot's source tarball [default: the locked one, fetched]
    #[arg(long, value_name = "TARBALL")]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub sources: SourceOptions,
}

#[derive(Debug, Args)]
pub struct BootArguments {
    /// The node
    pub node: String,
    /// Check the running node over ssh instead of showing its console
    #[arg(long)]
    pub check: bool,
    /// Seconds until ssh must have answered
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "check")]
    pub timeout: u64,
    /// Leave the node running after the check, until it is shut down or portadc is ended
    #[arg(long, requires = "check")]
    pub keep: bool,
    /// Memory of the virtual machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(256..=65536))]
    pub memory: u64,
    /// Taps of this machine to plug the node's ports into, that of the internet last [default: QEMU's own networks]
    #[arg(long, value_name = "TAP,...", value_delimiter = ',')]
    pub tap: Vec<String>,
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The image or volume: a file, or a node of the project
    pub image: String,
    /// Print a file: /etc/hostname of the root file system, @srv:/file of a subvolume, boot:/Image of the boot partition
    #[arg(long, value_name = "PATH", group = "what")]
    pub cat: Option<String>,
    /// Write the root file system to standard output as a tar
    #[arg(long, group = "what")]
    pub tar: bool,
    /// Compare everything on the image with its checksums, and all of it with the block map beside it, if there is one
    #[arg(long, group = "what")]
    pub verify: bool,
    /// List all files, not only those of the boot partition
    #[arg(long, group = "what")]
    pub files: bool,
    #[command(flatten)]
    pub decryption: Decryption,
}

#[derive(Debug, Args)]
pub struct VolumeArguments {
    /// The tar; - for standard input
    pub tar: PathBuf,
    /// The volume to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// zstd level; 0 stores everything raw
    #[arg(long, value_name = "LEVEL", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=15))]
    pub zstd: u8,
    /// A subvolume and the path whose content it takes (`@:/`, `@log:/var/log`); the one at / becomes the default
    #[arg(long = "subvol", value_name = "NAME[:PATH]")]
    pub subvolumes: Vec<String>,
    /// Size of the volume, as "512 MiB" or "4 GiB" [default: as small as the content allows]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Label of the volume
    #[arg(long, default_value = "")]
    pub label: String,
    /// One copy of the metadata, or two
    #[arg(long, value_enum, default_value_t = Metadata::Dup)]
    pub metadata: Metadata,
}

/// A mirror as the stages know it: an URL. A folder of this machine becomes one.
fn mirror(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    if !path.is_dir() {
        return Err("neither a folder of this machine nor an URL".into());
    }
    let path = path.to_str().ok_or("its path is no text")?;
    Ok(format!("file://{path}"))
}

fn series(text: &str) -> Result<Series, String> {
    Series::parse(text).ok_or_else(|| "a series is numbers with dots between them, such as 6.12".into())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Metadata {
    Dup,
    Single,
}

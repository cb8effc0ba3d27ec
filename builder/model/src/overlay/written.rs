//! `overlay.toml` as it is written.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::users::UserToml;
use crate::written::{At, Table};

/// `overlays/<name>/overlay.toml`: what an overlay needs and does beside its files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OverlayToml {
    /// What the overlay is for, in a sentence.
    pub description: At<String>,
    /// The bases that the overlay is laid over; over others it is skipped. All bases, unless given.
    #[serde(default)]
    pub when: WhenToml,
    /// Empty directories to make (absolute paths); those that files lie in are made anyway.
    #[serde(default)]
    pub directories: Vec<At<String>>,
    /// What a fleet may ask for and this overlay does. A role that lacks it is told of.
    #[serde(default)]
    pub provides: Vec<At<Provision>>,
    /// Paths of the base, or of overlays before this one, that go away with everything below them.
    #[serde(default)]
    pub remove: Vec<At<String>>,
    /// Owner and modes of what `paths` does not name.
    #[serde(default)]
    pub defaults: DefaultsToml,
    /// Packages that the overlay needs, by source set.
    #[serde(default)]
    pub packages: PackagesToml,
    /// Users that nodes with this overlay have, by name, with the keys of `users` in `fleet.toml`. One without `keys` and
    /// `password-hash` is a service's: nobody logs in, and it has no home.
    #[serde(default)]
    pub users: Table<UserToml>,
    /// Settings of the kernel, "net.core.somaxconn" = 1024: they are made when a node starts, in this order.
    #[serde(default)]
    pub sysctls: Table<SysctlToml>,
    /// Words that the kernel's command line of nodes with this overlay has beside portadc's own: "quiet".
    #[serde(default)]
    pub kernel_arguments: Vec<At<String>>,
    /// Files of the overlay's folder `kernel/`, "NAME.config": what they ask for, the one kernel of the fleet has where a role has
    /// this overlay.
    #[serde(default)]
    pub kernel_fragments: Vec<At<String>>,
    /// Subvolumes of the root file system of nodes with this overlay, beside those of their layout.
    #[serde(default)]
    pub subvolumes: Vec<OwnSubvolumeToml>,
    /// What happens to units of systemd.
    #[serde(default)]
    pub units: UnitsToml,
    /// Services of OpenRC that start in each runlevel (`default`, `boot`, ...), where OpenRC is what starts services.
    #[serde(default)]
    pub runlevels: Table<Vec<At<String>>>,
    /// Symbolic links: absolute path = target.
    #[serde(default)]
    pub links: Table<At<String>>,
    /// Owners and modes by path or pattern: `*` stands for any part of a name, `**` for any number of names. An exact
    /// path wins over a pattern, a later pattern over an earlier one.
    #[serde(default)]
    pub paths: Table<PathToml>,
}

/// A subvolume of the root file system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnSubvolumeToml {
    /// Its name: "@db".
    pub name: At<String>,
    /// Where a node mounts it: "/var/lib/db".
    pub mount: At<String>,
    /// Whether it holds data alone: it is mounted without devices and without programs that run as another user (nodev, nosuid).
    #[serde(default)]
    pub data: bool,
}

/// The value of a setting of the kernel: a number, or a text of one line.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum SysctlToml {
    /// A number.
    Number(i64),
    /// A text of one line.
    Text(String),
}

impl JsonSchema for SysctlToml {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SysctlToml".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}

/// What a fleet may ask for and an overlay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provision {
    /// By what each node is reached: its addresses, and ssh.
    Access,
    /// Runs the containers that the fleet has on a node: `containers` of a role.
    Containers,
    /// Lets in only what the fleet says: `allow`.
    Guard,
    /// Exports backups and keeps those of others: `buddy`.
    Backup,
    /// The reverse proxy before services: `inproxy`.
    Inproxy,
    /// The ends of fixed addresses: `tunnels`.
    Tunnels,
    /// Swap in the node's own memory: `zram`.
    Zram,
    /// Answers the monitor: `monitor`.
    Monitoring,
}

/// The bases that an overlay is laid over: those that have all that is said here.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhenToml {
    /// Whose packages the base is made of.
    pub distribution: Option<DistributionToml>,
    /// What starts the services of the base.
    pub init: Option<InitToml>,
}

/// Whose packages a base is made of.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DistributionToml {
    /// Debian's.
    Debian,
    /// Gentoo's.
    Gentoo,
}

/// What starts the services of a base.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitToml {
    /// systemd.
    Systemd,
    /// OpenRC.
    OpenRc,
}

/// Owner and modes of what `paths` does not name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DefaultsToml {
    /// `user:group`, names of the base or numbers; `root:root` unless given.
    pub owner: Option<At<String>>,
    /// Octal permissions of files in quotes. Unless given, what is executable in the project is `"0755"`, all else `"0644"`.
    pub mode: Option<At<String>>,
    /// Octal permissions of directories in quotes; `"0755"` unless given.
    pub directory_mode: Option<At<String>>,
}

/// Packages by source set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackagesToml {
    /// Names of Debian packages.
    #[serde(default)]
    pub debian: Vec<At<String>>,
    /// Gentoo packages: `category/name` or any other atom.
    #[serde(default)]
    pub gentoo: Vec<At<String>>,
}

/// What happens to units of systemd. A unit is named with its suffix; an instance as `getty@tty1.service`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitsToml {
    /// Units that get the symbolic links which `systemctl enable` would make.
    #[serde(default)]
    pub enable: Vec<At<String>>,
    /// Units that lose those links; one that nothing brings is left alone.
    #[serde(default)]
    pub disable: Vec<At<String>>,
    /// Units that nothing can start, whether they exist or not.
    #[serde(default)]
    pub mask: Vec<At<String>>,
    /// What a Debian base needs beside these: `ssh.service`.
    #[serde(default)]
    pub debian: OwnUnitsToml,
    /// What a Gentoo base needs beside these: `sshd.service`.
    #[serde(default)]
    pub gentoo: OwnUnitsToml,
}

/// What happens to the units of one distribution.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnUnitsToml {
    /// Units that get the symbolic links which `systemctl enable` would make.
    #[serde(default)]
    pub enable: Vec<At<String>>,
    /// Units that lose those links; one that nothing brings is left alone.
    #[serde(default)]
    pub disable: Vec<At<String>>,
    /// Units that nothing can start, whether they exist or not.
    #[serde(default)]
    pub mask: Vec<At<String>>,
}

/// Owner and mode of a path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathToml {
    /// `user:group`, names of the base or numbers.
    pub owner: Option<At<String>>,
    /// Octal permissions in quotes (`"0600"`).
    pub mode: Option<At<String>>,
}

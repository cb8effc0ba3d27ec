//! One package that is built: a candidate of an index, or one that is installed. Both are described by the same keys.

use thiserror::Error;

use crate::atom::Atom;
use crate::depend::{self, DependError, Need, Reader};
use crate::name::Cpv;
use crate::syntax::{SyntaxError, is_slot};
use crate::use_dependency::{UseDemand, UseDependency};

/// The last EAPI whose dependencies [`crate::depend`] reads.
const LAST_EAPI: u32 = 9;

/// A package that is built, as an index or the database of installed packages describes it. What is not said is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name and version.
    pub cpv: Cpv,
    /// Which build of this version; none where it was built once only.
    pub build_id: Option<u32>,
    /// When it was built, in seconds since 1970.
    pub build_time: Option<u64>,
    /// The slot, which no two installed packages of a name share.
    pub slot: String,
    /// What packages that were built against it are bound to; the slot where none is given.
    pub subslot: String,
    /// The flags it was built with, separated by spaces.
    pub use_flags: String,
    /// The flags it knows, separated by spaces, each with `+` or `-` in front if its default is given.
    pub iuse: String,
    /// Which version of Gentoo's package format it follows.
    pub eapi: String,
    /// What it needs to run.
    pub rdepend: String,
    /// What it needs to run, but may be installed after it.
    pub pdepend: String,
    /// What its own scripts need while it is installed and removed.
    pub idepend: String,
    /// Architectures it is meant for.
    pub keywords: String,
    /// The repository that its ebuild is from.
    pub repository: String,
    /// Libraries it is linked with: `arm_64: libc.so.6 libz.so.1`.
    pub requires: String,
    /// Libraries it brings, likewise.
    pub provides: String,
    /// Phases that its ebuild defines, separated by spaces, or `-`.
    pub defined_phases: String,
    /// Licences.
    pub license: String,
    /// What it is built for, as compilers name it.
    pub chost: String,
    /// Bytes of its file.
    pub size: Option<u64>,
    /// SHA-1 of its file, 40 lower-case hexadecimal digits.
    pub sha1: Option<String>,
    /// MD5 of its file, 32 lower-case hexadecimal digits.
    pub md5: Option<String>,
    /// Where its file lies below its source; `None` for one that is installed. It never leads out of there.
    pub path: Option<String>,
}

/// Why keys and values describe no package.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackageError {
    /// The name or version is wrong.
    #[error(transparent)]
    Cpv(#[from] SyntaxError),
    /// A value is not what its key says.
    #[error("{key} is {}, which is not {expected}", formats::layer::shown(value.as_bytes()))]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
}

/// Why the dependencies of a package cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NeedsError {
    /// The package is of a format that this program does not know.
    #[error("its EAPI is {}; this program reads 0 to {LAST_EAPI}", formats::layer::shown(eapi.as_bytes()))]
    Eapi {
        /// The format.
        eapi: String,
    },
    /// A dependency string is wrong.
    #[error("its {key} cannot be read: {fault}")]
    Depend {
        /// Which of them.
        key: &'static str,
        /// Why.
        fault: DependError,
    },
}

/// What a package needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Before it: `RDEPEND` and `IDEPEND`.
    pub before: Vec<Need>,
    /// Before or after it: `PDEPEND`.
    pub after: Vec<Need>,
}

impl Package {
    /// The package of this name and version that `value` describes key by key; `None` and nothing are the same there.
    pub fn from_values<'v>(cpv: &str, value: impl Fn(&str) -> Option<&'v str>) -> Result<Self, PackageError> {
        let text = |key: &str| value(key).unwrap_or_default().trim_ascii();
        let owned = |key: &str| text(key).to_owned();
        let or = |key: &str, default: &'static str| match text(key) {
            "" => default.to_owned(),
            text => text.to_owned(),
        };
        let slots = or("SLOT", "0");
        let (slot, subslot) = slots.split_once('/').unwrap_or((&slots, &slots));
        if !is_slot(slot) || !is_slot(subslot) {
            return Err(PackageError::Value {
                key: "SLOT",
                value: slots,
                expected: "SLOT or SLOT/SUBSLOT",
            });
        }
        Ok(Self {
            cpv: cpv.parse()?,
            build_id: number("BUILD_ID", text("BUILD_ID"))?,
            build_time: number("BUILD_TIME", text("BUILD_TIME"))?,
            slot: slot.to_owned(),
            subslot: subslot.to_owned(),
            use_flags: owned("USE"),
            iuse: owned("IUSE"),
            eapi: or("EAPI", "0"),
            rdepend: owned("RDEPEND"),
            pdepend: owned("PDEPEND"),
            idepend: owned("IDEPEND"),
            keywords: owned("KEYWORDS"),
            repository: owned("repository"),
            requires: owned("REQUIRES"),
            provides: owned("PROVIDES"),
            defined_phases: owned("DEFINED_PHASES"),
            license: owned("LICENSE"),
            chost: owned("CHOST"),
            size: number("SIZE", text("SIZE"))?,
            sha1: digest("SHA1", text("SHA1"), 40)?,
            md5: digest("MD5", text("MD5"), 32)?,
            path: None,
        })
    }

    /// How a USE flag is set, or `None` where the package does not know it. Besides those it lists, a package knows the
    /// flags that a profile adds to all: those it is built with, and those of the C library and of the kernel.
    pub fn flag(&self, flag: &str) -> Option<crate::UseState> {
        if words(&self.use_flags).any(|word| word == flag) {
            return Some(crate::UseState::Enabled);
        }
        let listed = words(&self.iuse).any(|word| word.trim_start_matches(['+', '-']) == flag);
        let implicit = flag.starts_with("elibc_") || flag.starts_with("kernel_");
        (listed || implicit).then_some(crate::UseState::Disabled)
    }

    /// What it needs.
    pub fn needs(&self) -> Result<Needs, NeedsError> {
        let eapi = self.eapi.parse().ok().filter(|eapi| *eapi <= LAST_EAPI);
        let eapi: u32 = eapi.ok_or_else(|| NeedsError::Eapi {
            eapi: self.eapi.clone(),
        })?;
        let reader = Reader {
            enabled: &|flag| self.flag(flag) == Some(crate::UseState::Enabled),
            empty_any_is_met: eapi < 7,
        };
        let needs = |key, text| {
            let items = depend::parse(text).map_err(|fault| NeedsError::Depend { key, fault })?;
            Ok(reader.needs(&items))
        };
        let mut before = needs("RDEPEND", &self.rdepend)?;
        before.extend(needs("IDEPEND", &self.idepend)?);
        Ok(Needs {
            before,
            after: needs("PDEPEND", &self.pdepend)?,
        })
    }
}

/// The words of a value.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_ascii_whitespace()
}

fn number<T: std::str::FromStr>(key: &'static str, text: &str) -> Result<Option<T>, PackageError> {
    if text.is_empty() {
        return Ok(None);
    }
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        _ => Err(PackageError::Value {
            key,
            value: text.to_owned(),
            expected: "a number that fits",
        }),
    }
}

fn digest(key: &'static str, text: &str, digits: usize) -> Result<Option<String>, PackageError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(text.to_ascii_lowercase()));
    }
    Err(PackageError::Value {
        key,
        value: text.to_owned(),
        expected: if digits == 40 {
            "40 hexadecimal digits"
        } else {
            "32 hexadecimal digits"
        },
    })
}

impl Atom {
    /// Whether the atom takes the package. A blocker takes what it blocks. Conditional USE dependencies have to be
    /// evaluated before ([`UseDependency::evaluate`]); they take everything.
    pub fn matches(&self, package: &Package) -> bool {
        self.name == package.cpv.name
            && self.matches_version(&package.cpv.version)
            && self.slot.matches(&package.slot, &package.subslot)
            && self
                .repository
                .as_deref()
                .is_none_or(|repository| package.repository.is_empty() || repository == package.repository)
            && self
                .use_dependencies
                .iter()
                .all(|dependency| dependency.accepts(package))
    }
}

impl UseDependency {
    /// Whether the package is built so. One that waits for its evaluation accepts any.
    pub(crate) fn accepts(&self, package: &Package) -> bool {
        let UseDemand::Is(wanted) = self.demand else {
            return true;
        };
        package.flag(&self.flag).or(self.default) == Some(wanted)
    }
}

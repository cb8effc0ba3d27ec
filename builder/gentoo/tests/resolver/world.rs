//! Small worlds of packages, written as stanzas of an index: `CPV`, then what is not the default.

use gentoo::index::Packages;
use gentoo::resolve::{Init, Mask, Request, Resolution, Source, resolve};
use gentoo::{Atom, Package};

/// What there is, and what is asked for.
#[derive(Default)]
pub struct World<'a> {
    /// Installed packages.
    pub installed: &'a str,
    /// Those of the source.
    pub offered: &'a str,
    /// Requested atoms, separated by spaces.
    pub wanted: &'a str,
    /// Masked atoms, separated by spaces.
    pub masked: &'a str,
    /// What starts nodes.
    pub init: Option<Init>,
    /// USE flags of the profile, separated by spaces: only emerge is told. A package that does not come so is rebuilt.
    pub profile: &'a str,
    /// Lines of `package.use`.
    pub package_use: &'a str,
}

/// The stanzas with what emerge wants of each, as an index.
pub fn index(stanzas: &str) -> String {
    let mut index = "ARCH: arm64\nCHOST: aarch64-unknown-linux-gnu\nTIMESTAMP: 1\nVERSION: 0\n".to_owned();
    for stanza in stanzas
        .split("\n\n")
        .map(str::trim)
        .filter(|stanza| !stanza.is_empty())
    {
        let lines: Vec<&str> = stanza.lines().map(str::trim).collect();
        let value = |key: &str| {
            lines
                .iter()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        let (name, build) = (
            value("CPV").expect("each has its name"),
            value("BUILD_ID").unwrap_or("1"),
        );
        index.push('\n');
        for line in &lines {
            index += &format!("{line}\n");
        }
        for (key, default) in [
            ("BUILD_ID", "1"),
            ("EAPI", "8"),
            ("KEYWORDS", "arm64"),
            ("REPO", "fx"),
            ("SIZE", "1"),
            ("SHA1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("MD5", "d41d8cd98f00b204e9800998ecf8427e"),
            ("PATH", &format!("{name}-{build}.gpkg.tar")),
        ] {
            if value(key).is_none() {
                index += &format!("{key}: {default}\n");
            }
        }
    }
    index
}

pub fn packages(stanzas: &str) -> Vec<Package> {
    Packages::parse(index(stanzas).as_bytes())
        .expect("a sound world")
        .packages
}

pub fn atoms(text: &str) -> Vec<Atom> {
    text.split_whitespace()
        .map(|atom| atom.parse().expect("an atom"))
        .collect()
}

impl World<'_> {
    /// What we make of it: a line for each package to be installed, `CATEGORY/PACKAGE-VERSION-BUILD`, in order.
    pub fn resolved(&self) -> Result<Vec<String>, String> {
        self.resolution(|resolution| {
            let id = |package: &Package| format!("{}-{}", package.cpv, package.build_id.unwrap_or_default());
            resolution
                .chosen
                .iter()
                .map(|chosen| id(chosen.package))
                .collect()
        })
    }

    /// What `look` makes of the result.
    pub fn resolution<T>(&self, look: impl FnOnce(Resolution<'_>) -> T) -> Result<T, String> {
        let (installed, offered) = (packages(self.installed), packages(self.offered));
        let source = Source {
            name: "official",
            packages: &offered,
        };
        let mask = |atom| Mask {
            atom,
            reason: "you mask it".to_owned(),
        };
        let masks: Vec<Mask> = atoms(self.masked).into_iter().map(mask).collect();
        let request = Request {
            atoms: &atoms(self.wanted),
            masks: &masks,
            chost: Some("aarch64-unknown-linux-gnu"),
            init: self.init,
            package_use: &self
                .package_use
                .lines()
                .map(|line| line.parse().expect("a line"))
                .collect::<Vec<_>>(),
        };
        resolve(&installed, &[source], &request)
            .map(look)
            .map_err(|error| error.to_string())
    }
}

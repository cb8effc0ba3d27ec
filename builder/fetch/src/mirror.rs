//! Where files are fetched from. Folders of upstream projects stand in `sources.toml`; the Debian mirror does not: it is
//! the one that the host's apt is configured for.
//!
//! A mirror of the user's own replaces Debian's, or goes before upstream's: it has below its URL what upstream's servers
//! have below theirs (`releases/arm64/autobuilds/`, `pub/linux/kernel/`), as a copy made by rsync has. What it lacks, upstream
//! is asked for.

use anyhow::{Result, bail};
use model::sources::{Archive, BaseSource, Source, normal_mirror};

use super::{Mode, apt, folder};

/// Mirrors of a source. What the host's apt is configured for is only looked up when something is really fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirrors {
    /// These.
    Known(Route),
    /// These Debian mirrors, reached as the host's apt would; each ends in `/`.
    Named(Vec<String>),
    /// The Debian mirrors of the host's apt.
    Host {
        /// Also those of security updates.
        security: bool,
    },
}

/// Mirrors, looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Folders, first to last; each ends in `/`.
    pub mirrors: Vec<String>,
    /// apt's proxy for `http:`, where it has one.
    pub http_proxy: Option<String>,
    /// apt's proxy for `https:`, where it has one.
    pub https_proxy: Option<String>,
}

impl Mirrors {
    /// These folders; each ends in `/`.
    pub fn listed(mirrors: Vec<String>) -> Self {
        Self::Known(Route {
            mirrors,
            ..Route::default()
        })
    }

    /// The mirrors of a source tarball; `own` is the mirror that the user named, if any.
    pub fn of(source: &Source, own: Option<&str>) -> Result<Self> {
        match source {
            Source::Archive { archive, .. } => Self::of_archive(archive, own),
            Source::KernelOrg { mirrors, .. } | Source::Release { mirrors, .. } => {
                Self::upstream(own, mirrors)
            }
        }
    }

    /// The mirrors of a userland.
    pub fn of_base(source: &BaseSource, own: Option<&str>) -> Result<Self> {
        match source {
            BaseSource::Archive { archive, .. } => Self::of_archive(archive, own),
            BaseSource::Stage3(stage3) => Self::upstream(own, &stage3.mirrors),
        }
    }

    /// Folders on upstream's servers, each ending in `/`; the same folders of the mirror that the user named go before
    /// them.
    pub fn upstream(own: Option<&str>, folders: &[String]) -> Result<Self> {
        let mut mirrors: Vec<String> = Vec::new();
        if let Some(url) = own {
            let Some(own) = own_mirror(url) else {
                bail!(
                    "`{url}` is no mirror: give the http://, https:// or file:// URL of the folder that holds releases/ \
                     as Gentoo's mirrors have it, and pub/ as those of kernel.org and U-Boot"
                );
            };
            mirrors = folders
                .iter()
                .map(|folder| format!("{own}{}", below_host(folder)))
                .collect();
        }
        mirrors.extend_from_slice(folders);
        let mut seen = std::collections::BTreeSet::new();
        mirrors.retain(|mirror| seen.insert(mirror.clone()));
        Ok(Self::listed(mirrors))
    }

    /// The first of these alone.
    pub(super) fn first(self) -> Result<Self> {
        let mut route = self.route()?;
        route.mirrors.truncate(1);
        Ok(Self::Known(route))
    }

    /// The Debian mirror that the user named, else the host's.
    pub fn debian(named: Option<&str>) -> Result<Self> {
        match named {
            None => Ok(Self::Host { security: false }),
            Some(url) => match own_mirror(url) {
                Some(url) => Ok(Self::Named(vec![url])),
                None => bail!(
                    "`{url}` is no mirror: give the http://, https:// or file:// URL of the folder that holds dists/ and pool/"
                ),
            },
        }
    }

    /// The same for all suites of `archive`. Paths below the main archive and below that of security updates differ, so one
    /// list of folders serves both.
    fn of_archive(archive: &Archive, named: Option<&str>) -> Result<Self> {
        let mut mirrors = Self::debian(named)?;
        if archive.security.is_some() {
            match &mut mirrors {
                Self::Named(urls) => apt::add_security(urls),
                Self::Host { security } => *security = true,
                Self::Known(_) => {}
            }
        }
        Ok(mirrors)
    }

    /// Looks them up.
    pub fn route(&self) -> Result<Route> {
        let mirrors = match self {
            Self::Known(route) => return Ok(route.clone()),
            Self::Named(urls) => urls.clone(),
            Self::Host { security } => apt::mirrors(*security)?,
        };
        let (http_proxy, https_proxy) = apt::proxies()?;
        Ok(Route {
            mirrors,
            http_proxy,
            https_proxy,
        })
    }

    /// The same as far as `mode` allows: without the network only folders of this machine, and nothing is looked up.
    pub fn route_in(&self, mode: Mode) -> Result<Route> {
        let listed = match (mode, self) {
            (Mode::Online, _) => return self.route(),
            (Mode::Offline, Self::Known(route)) => route.mirrors.as_slice(),
            (Mode::Offline, Self::Named(urls)) => urls.as_slice(),
            (Mode::Offline, Self::Host { .. }) => &[],
        };
        let folders = listed.iter().filter(|url| folder::path_of(url).is_some());
        Ok(Route {
            mirrors: folders.cloned().collect(),
            ..Route::default()
        })
    }
}

/// The mirror that the user named, as mirrors are kept: a server, or a folder of this machine (`file:///srv/mirror/`).
fn own_mirror(url: &str) -> Option<String> {
    match url.strip_prefix("file://") {
        Some(path) if path.starts_with('/') && !path.contains(char::is_control) => {
            Some(format!("file://{}/", path.trim_end_matches('/')))
        }
        Some(_) => None,
        None => normal_mirror(url),
    }
}

/// What follows scheme and host in the URL of a folder, without the first `/`.
pub(super) fn below_host(folder: &str) -> &str {
    let rest = folder.split_once("://").map_or(folder, |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

impl Route {
    /// The same with `first` as the first to be asked.
    pub(super) fn starting_with(mut self, first: &str) -> Self {
        self.mirrors.retain(|mirror| mirror != first);
        self.mirrors.insert(0, first.to_owned());
        self
    }
}

/// A URL as messages show it: without the password that it may carry.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_mirror_has_the_paths_of_upstreams() {
        let folders = [
            "https://cdn.example/pub/linux/kernel/".to_owned(),
            "https://edge.example/pub/linux/kernel/".into(),
            "https://bare.example/".into(),
        ];
        let route = |own| Mirrors::upstream(own, &folders).unwrap().route().unwrap().mirrors;
        assert_eq!(route(None), folders);
        assert_eq!(
            route(Some("http://near.example/gentoo")),
            [
                "http://near.example/gentoo/pub/linux/kernel/",
                "http://near.example/gentoo/",
                &folders[0],
                &folders[1],
                &folders[2],
            ]
        );
        let error = Mirrors::upstream(Some("/srv/gentoo"), &folders).unwrap_err();
        assert!(
            error.to_string().starts_with("`/srv/gentoo` is no mirror"),
            "{error}"
        );
    }

    #[test]
    fn without_the_network_only_folders_are_asked() {
        let own = |url| Mirrors::debian(Some(url)).unwrap();
        let offline = |mirrors: Mirrors| mirrors.route_in(Mode::Offline).unwrap().mirrors;
        assert_eq!(offline(own("file:///srv/mirror//")), ["file:///srv/mirror/"]);
        assert!(offline(own("http://h.example/debian")).is_empty());
        assert!(offline(Mirrors::Host { security: true }).is_empty());
        let folders = ["https://cdn.example/pub/linux/kernel/".to_owned()];
        let upstream = Mirrors::upstream(Some("file:///srv/a b"), &folders).unwrap();
        assert_eq!(offline(upstream), ["file:///srv/a b/pub/linux/kernel/"]);
        for bad in [
            "file://srv/mirror",
            "file:///srv/a\nb",
            "/srv/mirror",
            "debian.example",
        ] {
            assert!(Mirrors::debian(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("http://user:secret@h.example/d/"), "http://h.example/d/");
        assert_eq!(shown("http://h.example/d@2/"), "http://h.example/d@2/");
    }
}

//! Where files are fetched from. Folders of upstream projects stand in `sources.toml`; the Debian mirror does not: it is
//! the one that the host's apt is configured for.
//!
//! A mirror of the user's own stands for Debian's, or goes before upstream's: it has below its URL what upstream's servers
//! have below theirs (`releases/arm64/autobuilds/`, `pub/linux/kernel/`), as a copy made by rsync has. What it lacks, upstream
//! is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::Tool;
use model::sources::{Archive, BaseSource, Source, normal_mirror};

use super::{Mode, folder};

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
                Self::Named(urls) => add_security(urls),
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
            Self::Host { security } => host_mirrors(Path::new("/etc/apt"), *security)?,
        };
        let (http_proxy, https_proxy) = apt_proxies()?;
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

/// Adds to Debian mirrors where each has security updates, as far as it is not there yet: servers have them in a folder
/// `debian-security` beside `debian`.
fn add_security(mirrors: &mut Vec<String>) {
    let beside = |mirror: &String| {
        let parent = mirror
            .strip_suffix("debian/")
            .filter(|parent| parent.ends_with('/'))?;
        Some(format!("{parent}debian-security/"))
    };
    for mirror in mirrors.iter().filter_map(beside).collect::<Vec<_>>() {
        if !mirrors.contains(&mirror) {
            mirrors.push(mirror);
        }
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

/// An entry of apt's sources: what of it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

/// The Debian mirrors in apt's configuration folder `etc`, with `security` also those of security updates. Nothing there says
/// which of several archives is Debian's main one, so likely ones come first and the signature decides.
fn host_mirrors(etc: &Path, security: bool) -> Result<Vec<String>> {
    let mut entries = Vec::new();
    for path in source_files(etc)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if path.extension().is_some_and(|extension| extension == "sources") {
            entries.extend(parse_deb822(&text));
        } else {
            entries.extend(text.lines().filter_map(parse_one_line));
        }
    }
    entries.retain(|entry| entry.components.iter().any(|name| name == "main"));
    entries.sort_by_key(|entry| !entry.signed_by.contains("debian-archive"));
    // The archive of security updates is another one: it has neither the suite itself nor its sources.
    let is_security = |suite: &String| suite.ends_with("-security") || suite.ends_with("/updates");
    let (mut mirrors, mut updates, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let found = match entry.suites.iter().all(is_security) {
            true => &mut updates,
            false => &mut mirrors,
        };
        for uri in &entry.uris {
            for uri in expand(uri)? {
                match normal_mirror(&uri) {
                    Some(mirror) if !found.contains(&mirror) => found.push(mirror),
                    Some(_) => {}
                    None => refused.push(uri),
                }
            }
        }
    }
    if mirrors.is_empty() {
        let mut text = format!("apt's configuration in {} names no Debian mirror", etc.display());
        if !refused.is_empty() {
            text.push_str(&format!(
                " that is reached by http or https ({})",
                refused.join(", ")
            ));
        }
        bail!("{text}: name one with `--mirror URL`");
    }
    if security {
        updates.retain(|mirror| !mirrors.contains(mirror));
        mirrors.append(&mut updates);
        add_security(&mut mirrors);
    }
    Ok(mirrors)
}

/// apt's lists of sources, in apt's order.
fn source_files(etc: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let list = etc.join("sources.list");
    if list.is_file() {
        files.push(list);
    }
    let folder = etc.join("sources.list.d");
    if folder.is_dir() {
        let mut parts = Vec::new();
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read {}", folder.display()))?
                .path();
            if matches!(
                path.extension().and_then(|extension| extension.to_str()),
                Some("list" | "sources")
            ) {
                parts.push(path);
            }
        }
        parts.sort();
        files.extend(parts);
    }
    Ok(files)
}

/// The mirrors behind a URI: `mirror+file:/path` stands for those that the file lists.
fn expand(uri: &str) -> Result<Vec<String>> {
    let Some(path) = uri.strip_prefix("mirror+file:") else {
        return Ok(vec![uri.to_owned()]);
    };
    let path = format!("/{}", path.trim_matches('/'));
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the list of mirrors {path} that apt is configured for"))?;
    let uris = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(uris
        .filter(|uri| !uri.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// A line of `sources.list`: `deb [options] URI suite component...`.
fn parse_one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line
        .strip_prefix("deb-src")
        .or_else(|| line.strip_prefix("deb"))?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: options.to_owned(),
    })
}

/// The stanzas of a `.sources` file (deb822) that are not disabled.
fn parse_deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let (mut enabled, mut field) = (true, String::new());
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            let entry = std::mem::take(&mut entry);
            if enabled && !entry.uris.is_empty() {
                entries.push(entry);
            }
            (enabled, field) = (true, String::new());
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let value = match line.split_once(':') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                field = name.trim().to_ascii_lowercase();
                value
            }
            _ => line,
        };
        let words = value.split_whitespace().map(str::to_owned);
        match field.as_str() {
            "uris" => entry.uris.extend(words),
            "suites" => entry.suites.extend(words),
            "components" => entry.components.extend(words),
            "signed-by" => entry.signed_by.push_str(value),
            "enabled" => {
                enabled = !matches!(value.trim(), "no" | "false" | "without" | "off" | "disable" | "0")
            }
            _ => {}
        }
    }
    entries
}

/// apt's proxies for http and https: who reaches a mirror through one reaches nothing without it.
fn apt_proxies() -> Result<(Option<String>, Option<String>)> {
    let tool = Tool::new("apt-config", "apt").args([
        "shell",
        "HTTP",
        "Acquire::http::Proxy",
        "HTTPS",
        "Acquire::https::Proxy",
    ]);
    // A host without apt has no proxy of apt; `route` has found its sources all the same, or says that there are none.
    if !Path::new("/usr/bin/apt-config").exists() {
        return Ok((None, None));
    }
    Ok(parse_proxies(&tool.output()?))
}

/// What `apt-config shell` prints: `HTTP='http://proxy:3142'`.
fn parse_proxies(text: &str) -> (Option<String>, Option<String>) {
    let find = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('\'').to_owned())
            .find(|value| !value.is_empty() && value != "DIRECT")
    };
    (find("HTTP"), find("HTTPS"))
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

    fn host(files: &[(&str, &str)]) -> Result<Vec<String>> {
        host_with(files, false)
    }

    fn host_with(files: &[(&str, &str)], security: bool) -> Result<Vec<String>> {
        let etc = tempfile::tempdir()?;
        for (name, text) in files {
            let path = etc.path().join(name);
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(path, text.replace("@ETC@", &etc.path().to_string_lossy()))?;
        }
        host_mirrors(etc.path(), security)
    }

    #[test]
    fn both_formats_are_read_and_debian_comes_first() {
        let mirrors = host(&[
            ("sources.list", "# deb http://no.example/debian trixie main\ndeb cdrom:[Debian]/ trixie main\n"),
            (
                "sources.list.d/a.list",
                "deb [signed-by=/x.gpg arch=amd64] https://other.example/apt stable main # a browser\n",
            ),
            (
                "sources.list.d/debian.sources",
                "Types: deb\n# a comment\nURIs: http://one.example/debian\n http://two.example/debian/\nSuites: bookworm\n  bookworm-updates\n\
                 Components: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                 Types: deb\nURIs: http://one.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
                 Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\n",
            ),
        ])
        .unwrap();
        assert_eq!(
            mirrors,
            [
                "http://one.example/debian/",
                "http://two.example/debian/",
                "https://other.example/apt/"
            ]
        );
    }

    #[test]
    fn a_list_of_mirrors_is_followed() {
        let mirrors = host(&[
            (
                "sources.list.d/debian.sources",
                "Types: deb deb-src\nURIs: mirror+file:@ETC@/mirrors/debian.list\nSuites: trixie\nComponents: main\n",
            ),
            ("mirrors/debian.list", "# ours\nhttps://near.example/debian\tpriority:1\nhttps://far.example/debian\n"),
        ])
        .unwrap();
        assert_eq!(
            mirrors,
            ["https://near.example/debian/", "https://far.example/debian/"]
        );
    }

    #[test]
    fn no_mirror_says_what_to_do() {
        let error = host(&[("sources.list", "deb file:/srv/debian trixie main\n")]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("(file:/srv/debian): name one with `--mirror URL`"),
            "{error}"
        );
        assert!(host(&[]).is_err());
        assert!(Mirrors::debian(Some("debian.example")).is_err());
    }

    #[test]
    fn proxies_are_read_as_apt_prints_them() {
        let both = parse_proxies("HTTP='http://p.example:3142'\nHTTPS='DIRECT'\n");
        assert_eq!(both, (Some("http://p.example:3142".into()), None));
    }

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
    fn security_updates_come_from_where_apt_has_them_and_from_beside_the_mirrors() {
        let files = [(
            "sources.list",
            "deb http://one.example/debian bookworm main\ndeb http://two.example/all bookworm main\n\
             deb http://far.example/security bookworm-security main\n",
        )];
        let main = ["http://one.example/debian/", "http://two.example/all/"];
        assert_eq!(host_with(&files, false).unwrap(), main);
        assert_eq!(
            host_with(&files, true).unwrap(),
            [
                main[0],
                main[1],
                "http://far.example/security/",
                "http://one.example/debian-security/"
            ]
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
        for bad in ["file://srv/mirror", "file:///srv/a\nb", "/srv/mirror"] {
            assert!(Mirrors::debian(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("http://user:secret@h.example/d/"), "http://h.example/d/");
        assert_eq!(shown("http://h.example/d@2/"), "http://h.example/d@2/");
    }
}

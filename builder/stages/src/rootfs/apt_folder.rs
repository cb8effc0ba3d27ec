//! A folder of this machine as apt reads it: what is in it is taken for what the lock says, by its hash, however old it is.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use engine::VerificationFailed;
use fetch::Sha256Sum;
use rustix::process::geteuid;
use tempfile::TempDir;

use super::apt_source::{AptSuite, check_word};

/// Larger than any InRelease by far.
const LIMIT: u64 = 8 << 20;

/// A suite of a folder: its `InRelease` as this process verified it, so that nobody can change it before apt reads it; all else
/// is the folder's own, and apt holds it against `InRelease`. It goes away when it is dropped.
pub(super) struct Stage {
    folder: TempDir,
}

impl Stage {
    /// The suite in the folder `mirror`.
    pub(super) fn new(mirror: &Path, suite: &AptSuite, components: &[String]) -> Result<Self> {
        let name = &suite.name;
        check_word(name)?;
        for part in ["dists", "pool"] {
            check_readable(&mirror.join(part))?;
        }
        let release = mirror.join("dists").join(name).join("InRelease");
        let mut bytes = Vec::new();
        File::open(&release)
            .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", release.display()))?;
        let found = Sha256Sum::of(&bytes).to_string();
        if found != suite.in_release_sha256 {
            let text = format!(
                "{}: its hash is {found} instead of {}",
                release.display(),
                suite.in_release_sha256
            );
            return Err(VerificationFailed(text).into());
        }
        // apt may read as another user.
        let folder = tempfile::Builder::new()
            .prefix("portadc-apt-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .context("cannot make a folder for apt")?;
        let stage = || {
            let dists = folder.path().join("dists").join(name);
            fs::create_dir_all(&dists)?;
            fs::write(dists.join("InRelease"), &bytes)?;
            for component in components {
                symlink(
                    mirror.join("dists").join(name).join(component),
                    dists.join(component),
                )?;
            }
            symlink(mirror.join("pool"), folder.path().join("pool"))
        };
        stage().with_context(|| format!("cannot write {}", folder.path().display()))?;
        Ok(Self { folder })
    }

    /// What stands between `deb` and the suite in sources.list(5). The signature is not asked for: the hash says more, and goes
    /// on saying it when the key has expired.
    pub(super) fn source(&self) -> Result<String> {
        let path = self
            .folder
            .path()
            .to_str()
            .context("the folder for apt has a name that is no text")?;
        check_word(path)?;
        Ok(format!("[trusted=yes check-valid-until=no] copy:{path}"))
    }
}

/// Whether the user that mmdebstrap becomes without root can read a folder.
fn check_readable(folder: &Path) -> Result<()> {
    let metadata =
        |path: &Path| fs::metadata(path).with_context(|| format!("cannot read {}", path.display()));
    ensure!(metadata(folder)?.is_dir(), "{} is no folder", folder.display());
    if geteuid().is_root() {
        return Ok(());
    }
    for path in folder.ancestors() {
        if metadata(path)?.permissions().mode() & 0o001 == 0 {
            bail!(
                "mmdebstrap becomes another user, who cannot read {}: chmod o+x {}, or move the mirror",
                folder.display(),
                path.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use engine::is_verification_failure;

    use super::*;

    #[test]
    fn a_state_that_is_not_the_locked_one_is_refused() {
        let mirror = tempfile::tempdir().unwrap();
        let dists = mirror.path().join("dists/trixie");
        let mut suite = AptSuite {
            name: "trixie".into(),
            in_release_sha256: Sha256Sum::of(b"state").to_string(),
        };
        let components = ["main".to_owned()];
        let stage = |suite: &AptSuite| Stage::new(mirror.path(), suite, &components);
        fs::create_dir_all(dists.join("main")).unwrap();
        assert!(stage(&suite).is_err(), "there is no pool");
        fs::create_dir_all(mirror.path().join("pool")).unwrap();
        assert!(stage(&suite).is_err(), "there is no state");
        fs::write(dists.join("InRelease"), "another state").unwrap();
        assert!(is_verification_failure(&stage(&suite).err().unwrap()));
        fs::write(dists.join("InRelease"), "state").unwrap();
        fs::write(dists.join("main/Packages"), "p").unwrap();
        let staged = stage(&suite).unwrap();
        // What is changed now, apt does not see.
        fs::write(dists.join("InRelease"), "another state").unwrap();
        let source = staged.source().unwrap();
        let path = Path::new(source.split_once("copy:").unwrap().1).to_owned();
        assert_eq!(fs::read(path.join("dists/trixie/InRelease")).unwrap(), b"state");
        assert_eq!(fs::read(path.join("dists/trixie/main/Packages")).unwrap(), b"p");
        drop(staged);
        assert!(!path.exists());
        suite.name = "../trixie [trusted=yes]".into();
        assert!(stage(&suite).is_err());
    }
}

//! emerge's decision about a world, from the real one: `emerge --pretend --usepkgonly --getbinpkg` over a database
//! of installed packages and an index, without a single package file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use gentoo::Package;

use crate::world::{World, index, packages};

/// What emerge would install, a line for each package as [`World::resolved`] has it, in order; what it said, if it would
/// not.
pub fn decision(world: &World<'_>) -> Result<Vec<String>, String> {
    let mut arguments = vec!["--noreplace"];
    arguments.extend(world.wanted.split_whitespace());
    run(world, &packages(world.installed), &arguments)
}

/// What emerge would change if these packages were installed.
pub fn update(world: &World<'_>, installed: &[Package]) -> Result<Vec<String>, String> {
    run(world, installed, &["--update", "--deep", "--newuse", "@world"])
}

fn run(world: &World<'_>, installed: &[Package], arguments: &[&str]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path();
    let system = system(work, world.profile);
    write(make(&work.join("host")).join("Packages"), index(world.offered));
    write(
        work.join("etc/portage/package.mask"),
        world.masked.split_whitespace().collect::<Vec<_>>().join("\n"),
    );
    write(work.join("etc/portage/package.use"), world.package_use);
    install(&work.join("root"), installed);

    let root = work.join("root");
    let mut emerge = Command::new(system.join("bin/python"));
    emerge.arg(system.join("bin/emerge"));
    emerge.args(["--pretend", "--usepkgonly", "--getbinpkg", "--quiet-unmerge-warn"]);
    if !world.profile.is_empty() {
        emerge.arg("--binpkg-respect-use=y");
    }
    emerge.args(arguments);
    emerge.env_clear();
    let path = format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", system.display());
    let repositories = format!(
        "[DEFAULT]\nmain-repo = fx\n[fx]\nlocation = {}\nauto-sync = no",
        work.join("repository").display()
    );
    emerge.envs([
        ("PATH", path.as_str()),
        ("TERM", "dumb"),
        ("LC_ALL", "C.UTF-8"),
        ("EPREFIX", ""),
        ("NOCOLOR", "true"),
        ("PORTAGE_USERNAME", "root"),
        ("PORTAGE_GRPNAME", "root"),
        ("PORTAGE_REPOSITORIES", &repositories),
    ]);
    emerge.env(
        "PORTAGE_BINHOST",
        format!("file://{}", work.join("host").display()),
    );
    emerge.env("HOME", work).env("PORTAGE_CONFIGROOT", work);
    emerge.env("ROOT", &root).env("SYSROOT", &root);
    let output = emerge.output().expect("python is there");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        said.contains("Calculating dependencies"),
        "emerge does not work:\n{said}"
    );
    if !output.status.success() {
        return Err(said);
    }
    // [binary  N     ] app/bar-1-1  to /root/
    let lines = said
        .lines()
        .filter(|line| line.starts_with("[binary") || line.starts_with("[ebuild"))
        .filter_map(|line| line.split_once("] "));
    Ok(lines
        .map(|(_, rest)| rest.split([' ', ':']).next().unwrap_or_default().to_owned())
        .collect())
}

/// Portage's environment with a configuration of its own: the interpreter takes the folder it is started in for its own.
fn system(work: &Path, use_flags: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/portage-venv");
    let output = Command::new(script).output().expect("ci/portage-venv can be run");
    assert!(
        output.status.success(),
        "ci/portage-venv cannot install portage, the oracle of the resolver:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let venv = PathBuf::from(
        String::from_utf8(output.stdout)
            .expect("a path in UTF-8")
            .trim_end(),
    );
    let system = make(&work.join("system"));
    for name in ["bin", "lib", "share", "pyvenv.cfg"] {
        link(&venv.join(name), &system.join(name));
    }
    for folder in ["tmp", "log", "db/pkg", "lib/portage", "cache/edb"] {
        make(&system.join("var").join(folder));
    }
    link(&make(&work.join("etc")), &system.join("etc"));

    let repository = make(&work.join("repository"));
    let profile = make(&repository.join("profiles/base"));
    write(
        make(&repository.join("metadata")).join("layout.conf"),
        "masters =\n",
    );
    write(repository.join("profiles/repo_name"), "fx\n");
    write(repository.join("profiles/arch.list"), "arm64\n");
    write(repository.join("profiles/categories"), "app\nlib\nvirtual\n");
    write(profile.join("eapi"), "8\n");
    write(
        profile.join("make.defaults"),
        format!(
            "USE=\"{use_flags}\"\nARCH=arm64\nACCEPT_KEYWORDS=arm64\nCHOST=aarch64-unknown-linux-gnu\nELIBC=glibc\nKERNEL=linux\n\
         USE_EXPAND=\"ELIBC KERNEL\"\nUSE_EXPAND_IMPLICIT=\"ARCH ELIBC KERNEL\"\nUSE_EXPAND_UNPREFIXED=ARCH\n\
         USE_EXPAND_VALUES_ARCH=arm64\nUSE_EXPAND_VALUES_ELIBC=\"glibc musl\"\nUSE_EXPAND_VALUES_KERNEL=linux\n"
        ),
    );
    let configuration = make(&work.join("etc/portage"));
    link(&profile, &configuration.join("make.profile"));
    let own = |name: &str| make(&work.join(name)).display().to_string();
    write(
        configuration.join("make.conf"),
        format!(
            "ACCEPT_LICENSE=\"*\"\nPKGDIR=\"{}\"\nPORTAGE_TMPDIR=\"{}\"\n\
             FEATURES=\"-sandbox -usersandbox -userpriv -userfetch -news -strict\"\n",
            own("packages"),
            own("tmp")
        ),
    );
    system
}

/// Writes the database of installed packages, and asks for all of them to be kept.
fn install(root: &Path, packages: &[Package]) {
    let database = make(&root.join("var/db/pkg"));
    let mut world = String::new();
    for package in packages {
        let folder = make(&database.join(package.cpv.to_string()));
        let slot = format!("{}/{}", package.slot, package.subslot);
        for (name, value) in [
            ("SLOT", slot.as_str()),
            ("EAPI", &package.eapi),
            ("KEYWORDS", &package.keywords),
            ("repository", &package.repository),
            ("USE", &package.use_flags),
            ("IUSE", &package.iuse),
            ("RDEPEND", &package.rdepend),
            ("PDEPEND", &package.pdepend),
            ("BUILD_ID", &package.build_id.unwrap_or(1).to_string()),
            ("BUILD_TIME", &package.build_time.unwrap_or_default().to_string()),
            ("COUNTER", "1"),
            ("CONTENTS", ""),
        ] {
            write(folder.join(name), format!("{value}\n"));
        }
        world += &format!("{}:{}\n", package.cpv.name, package.slot);
    }
    write(make(&root.join("var/lib/portage")).join("world"), world);
}

fn make(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).expect("the folder can be made");
    folder.to_owned()
}

fn write(path: PathBuf, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("the file can be written");
}

fn link(target: &Path, path: &Path) {
    symlink(target, path).expect("the link can be made");
}

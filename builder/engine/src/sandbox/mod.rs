//! A root file system that is entered: programs of a foreign distribution run in name spaces of their own (users, mounts,
//! processes, network, IPC, host name), see what is bound into them and nothing else of this machine, and have no network.
//! They end when this process does, whatever ends it.
//!
//! | file | owns |
//! |---|---|
//! | `users` | whom users in there are mapped to |
//! | `enter.sh` | from this machine's root to the other one |
//! | `inside.sh` | the first process in there |

mod users;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use anyhow::{Context, Result, anyhow};

use crate::{Log, Tool};
pub use users::{Users, requirements};

/// From this machine's root to the other one.
const ENTER: &str = include_str!("enter.sh");

/// The first process in the other root.
const INSIDE: &str = include_str!("inside.sh");

/// Waits until users are mapped, then becomes root of the name space and runs what it is given.
const WAIT: &str = "read -r go && exec unshare --setgid=0 --setuid=0 -- \"$@\"";

/// The same with name spaces for all else, in a session of its own: without a terminal that could be typed on.
const WAIT_APART: &str = "read -r go && exec setsid --wait unshare --mount --pid --net --ipc --uts --fork --kill-child \
     --setgid=0 --setuid=0 -- \"$@\"";

/// Where programs look for programs in the root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether what is bound into a root may be changed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may be read.
    Read,
    /// It may be changed.
    Write,
}

/// A folder of a [`Sandbox`] that is seen in its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Its name.
    pub name: &'static str,
    /// Where it is seen, absolute; a folder that is there.
    pub at: &'static str,
    /// Whether it may be changed.
    pub access: Access,
}

/// A folder with a root file system, `root`, and others that are bound into it.
#[derive(Debug)]
pub struct Sandbox {
    folder: PathBuf,
    users: Users,
}

impl Sandbox {
    /// The name of the folder of the root file system.
    pub const ROOT: &str = "root";

    /// One in `folder`, which is there.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            users: Users::of_this_process()?,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder `name`, empty; it belongs to the root of the sandbox.
    pub fn make_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        self.users.give(&path)?;
        Ok(path)
    }

    /// Unpacks a tar, which is not compressed any more, into the folder `name`, less the first `strip` parts of each path and
    /// device nodes below `dev`. Owners are numbers of the sandbox. `open` is called where the tar is read.
    pub fn unpack(
        &self,
        name: &str,
        strip: usize,
        open: impl FnOnce() -> Result<Box<dyn Read>> + Send,
        log: &mut Log,
    ) -> Result<()> {
        let arguments = [
            "tar".to_owned(),
            "--extract".into(),
            "--file=-".into(),
            format!("--directory={name}"),
            "--numeric-owner".into(),
            "--preserve-permissions".into(),
            "--delay-directory-restore".into(),
            "--exclude=./dev/*".into(),
            "--exclude=dev/*".into(),
            "--anchored".into(),
            format!("--strip-components={strip}"),
        ];
        let feed = move |mut input: ChildStdin| {
            go(&mut input)?;
            let mut tar = open()?;
            io::copy(&mut tar, &mut input).with_context(|| format!("cannot unpack into `{name}`"))?;
            Ok(None)
        };
        self.run(WAIT, arguments, feed, log, |_| {})
    }

    /// Removes the folder `name` with all that is in it, whoever it belongs to.
    pub fn remove(&self, name: &str, log: &mut Log) -> Result<()> {
        if !self.folder.join(name).exists() {
            return Ok(());
        }
        // The folder itself lies in one that belongs to this process.
        let arguments = [
            "find",
            name,
            "-mindepth",
            "1",
            "-maxdepth",
            "1",
            "-exec",
            "rm",
            "-rf",
            "--",
            "{}",
            "+",
        ];
        self.run(WAIT, arguments.map(str::to_owned), held, log, |_| {})?;
        let path = self.folder.join(name);
        std::fs::remove_dir(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Runs a program of the root file system in it. It gets the environment that is given and nothing else.
    pub fn enter(
        &self,
        binds: &[Bind],
        environment: &[(&str, String)],
        program: &[&str],
        log: &mut Log,
        each_line: impl FnMut(&str),
    ) -> Result<()> {
        let mut arguments: Vec<String> = ["sh", "-c", ENTER, "enter"].map(str::to_owned).into();
        for bind in binds {
            let access = match bind.access {
                Access::Read => "ro",
                Access::Write => "rw",
            };
            let at = bind.at.trim_start_matches('/');
            arguments.extend([access, bind.name, at].map(str::to_owned));
        }
        arguments.extend(["--".to_owned(), INSIDE.to_owned()]);
        arguments.push(format!("PATH={PATH}"));
        arguments.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        arguments.extend(program.iter().map(|word| (*word).to_owned()));
        self.run(WAIT_APART, arguments, held, log, each_line)
    }

    fn run(
        &self,
        wait: &str,
        arguments: impl IntoIterator<Item = String>,
        feed: impl FnOnce(ChildStdin) -> Result<Option<ChildStdin>> + Send,
        log: &mut Log,
        each_line: impl FnMut(&str),
    ) -> Result<()> {
        Tool::new("unshare", "util-linux")
            .args(["--user", "--keep-caps", "--", "sh", "-c", wait, "sh"])
            .args(arguments.into_iter().map(OsString::from))
            .folder(&self.folder)
            .run_fed(log, |pid| self.map(pid), feed, each_line)
    }

    /// Maps users as soon as the process has a name space of its own.
    fn map(&self, pid: u32) -> Result<()> {
        let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/user"));
        let own = of("self").context("cannot tell user name spaces apart")?;
        for _ in 0..2000 {
            match of(&pid.to_string()) {
                Ok(other) if other != own => return self.users.map(pid),
                Ok(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
                Err(_) => break,
            }
        }
        Err(anyhow!(
            "unshare made no user name space: does this kernel, or its security module, allow them to this user?"
        ))
    }
}

/// Lets a process go on that waits for its users.
fn go(input: &mut ChildStdin) -> Result<()> {
    input
        .write_all(b"go\n")
        .context("cannot start a program in its name spaces")
}

/// The same, and keeps its input open.
fn held(mut input: ChildStdin) -> Result<Option<ChildStdin>> {
    go(&mut input)?;
    Ok(Some(input))
}

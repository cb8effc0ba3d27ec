//! External programs: the one place that starts them.
//!
//! Standard output and standard error go to the stage's log line by line; the last lines come back in the error.
//! The locale is fixed, so that no output depends on the user's.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::Log;
use super::ending::Running;

/// A line that is longer is taken for several: programs that run what others wrote may print anything.
const LONGEST_LINE: u64 = 64 << 10;

/// `PATH`, and behind it the folders where Debian keeps mkfs and the like, which a user's `PATH` lacks.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/sbin:/sbin");
    path
}

/// The file that a [`Tool`] called `program` runs; `None` where the machine has none.
pub fn find_program(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A program and how to call it.
#[derive(Debug, Clone)]
pub struct Tool {
    program: String,
    package: String,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    inherits: bool,
    folder: Option<PathBuf>,
    input: Option<PathBuf>,
}

impl Tool {
    /// `program`, which the Debian package `package` brings.
    pub fn new(program: &str, package: &str) -> Self {
        Self {
            program: program.to_owned(),
            package: package.to_owned(),
            arguments: Vec::new(),
            environment: vec![("LC_ALL".into(), "C.UTF-8".into()), ("TZ".into(), "UTC".into())],
            inherits: true,
            folder: None,
            input: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Keeps the caller's environment from it, but for `PATH`, `HOME` and `TMPDIR`: for programs that a stray
    /// variable makes behave otherwise.
    pub fn clean_environment(self) -> Self {
        Self {
            inherits: false,
            ..self
        }
    }

    /// Starts it in `folder`.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Gives it a file as standard input; else it has none.
    pub fn input(mut self, file: &Path) -> Self {
        self.input = Some(file.to_owned());
        self
    }

    /// Runs it to its end. Each line goes to `log` and to `each_line` (progress).
    pub fn run(&self, log: &mut Log, each_line: impl FnMut(&str)) -> Result<()> {
        log.line(&format!("$ {self}"))?;
        self.run_child(self.command()?, log, |_| Ok(()), |_| Ok(None), each_line)
    }

    /// The same for a program that waits for its input. `begin` is called with its process number as soon as it runs; then
    /// `feed`, beside it, with the pipe that it reads. What `feed` gives back stays open until the program has ended.
    pub fn run_fed(
        &self,
        log: &mut Log,
        begin: impl FnOnce(u32) -> Result<()>,
        feed: impl FnOnce(ChildStdin) -> Result<Option<ChildStdin>> + Send,
        each_line: impl FnMut(&str),
    ) -> Result<()> {
        let mut command = self.command()?;
        command.stdin(Stdio::piped());
        let feed = |input: Option<ChildStdin>| feed(input.context("the program has no pipe to read")?);
        self.run_child(command, log, begin, feed, each_line)
    }

    fn run_child(
        &self,
        mut command: Command,
        log: &mut Log,
        begin: impl FnOnce(u32) -> Result<()>,
        feed: impl FnOnce(Option<ChildStdin>) -> Result<Option<ChildStdin>> + Send,
        mut each_line: impl FnMut(&str),
    ) -> Result<()> {
        // One pipe for both streams keeps the lines in the order in which they were printed.
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        command
            .stdout(writer.try_clone().context("cannot make a pipe")?)
            .stderr(writer);
        // The command holds the pipe's writing end and is gone with this: with it there, reading would never end.
        let mut running = Running::start(command, |command| self.started(command.spawn()))?;
        let input = running.child.stdin.take();
        let begun = begin(running.child.id());
        let (copied, fed) = std::thread::scope(|scope| {
            if let Err(error) = begun {
                running.ask_to_end();
                return (Err(error), Ok(None));
            }
            let feeding = scope.spawn(|| feed(input));
            let copied = self.copy_lines(reader, log, &mut each_line);
            if copied.is_err() {
                running.ask_to_end();
            }
            let panicked = |_| anyhow!("what feeds {} panicked", self.program);
            let fed = feeding.join().map_err(panicked).and_then(|fed| fed);
            (copied, fed)
        });
        // One that reads what is held may wait for its end before it ends itself.
        let held = fed.map(|held| copied.is_ok().then_some(held));
        let status = running
            .wait()
            .with_context(|| format!("cannot wait for {}", self.program))?;
        ensure!(
            status.success() || !running.was_told(),
            "{} was told to end",
            self.program
        );
        copied?;
        // What it says itself of why it took no more tells more than that it did.
        if status.success() {
            held?;
        }
        if status.success() {
            return Ok(());
        }
        bail!(
            "{} failed ({status}); it printed last:{}",
            self.program,
            log.tail()
        )
    }

    /// Copies what it prints, line by line.
    fn copy_lines(&self, reader: impl Read, log: &mut Log, each_line: &mut impl FnMut(&str)) -> Result<()> {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut bytes);
            if read.with_context(|| format!("cannot read the output of {}", self.program))? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end();
            each_line(line);
            log.line(line)?;
        }
    }

    /// Runs it and returns what it printed on standard output; a failure shows standard error.
    pub fn output(&self) -> Result<String> {
        let mut command = self.command()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(command, |command| self.started(command.spawn()))?;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let (printed, errors) = std::thread::scope(|scope| {
            let errors = scope.spawn(|| read_all(stderr));
            (read_all(stdout), errors.join())
        });
        let status = running
            .wait()
            .with_context(|| format!("cannot wait for {}", self.program))?;
        ensure!(
            status.success() || !running.was_told(),
            "{} was told to end",
            self.program
        );
        let cannot = || format!("cannot read the output of {}", self.program);
        let printed = printed.with_context(cannot)?;
        if !status.success() {
            let errors = errors.map_err(|_| anyhow!("what reads {} panicked", self.program))?;
            let errors = errors.with_context(cannot)?;
            bail!(
                "{} failed ({status}): {}",
                self.program,
                String::from_utf8_lossy(&errors).trim()
            );
        }
        String::from_utf8(printed).with_context(|| format!("{} printed no text", self.program))
    }

    /// The command as the operating system starts it.
    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        end_with_us(&mut command);
        if !self.inherits {
            let kept = ["HOME", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
            command.env_clear();
            command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        }
        command
            .args(&self.arguments)
            .env("PATH", search_path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        match &self.input {
            None => command.stdin(Stdio::null()),
            Some(path) => {
                let file = std::fs::File::open(path);
                command.stdin(file.with_context(|| format!("cannot open {}", path.display()))?)
            }
        };
        Ok(command)
    }

    /// The child, or why there is none.
    fn started<T>(&self, child: std::io::Result<T>) -> Result<T> {
        child.map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "the program `{}` is missing: install the Debian package `{}`",
                self.program,
                self.package
            ),
            _ => anyhow!(error).context(format!("cannot start {}", self.program)),
        })
    }
}

/// All that a program prints on `stream`.
fn read_all(stream: Option<impl Read>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Has `command`, once it runs, asked to end when the thread that starts it does, whatever ends it: no compiler and no
/// virtual machine outlives a killed build.
#[allow(unsafe_code)]
pub fn end_with_us(command: &mut Command) {
    // SAFETY: what runs between fork and exec is a single system call; it neither allocates nor locks.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.program)?;
        for argument in &self.arguments {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_quotes_the_end_of_the_log() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut log = Log::create(&folder.path().join("t.log"))?;
        let tool = Tool::new("sh", "dash").args(["-c", "echo first; echo broken >&2; exit 3"]);
        let mut lines = Vec::new();
        let error = tool
            .run(&mut log, |line| lines.push(line.to_owned()))
            .unwrap_err()
            .to_string();
        assert_eq!(lines, ["first", "broken"]);
        assert!(
            error.contains("exit status: 3") && error.contains("    broken"),
            "{error}"
        );
        Ok(())
    }

    #[test]
    fn a_clean_environment_keeps_little_and_takes_what_it_is_given() {
        let tool = Tool::new("env", "coreutils")
            .clean_environment()
            .env("GIVEN", "1");
        let output = tool.output().unwrap();
        let mut names: Vec<_> = output
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .collect();
        names.retain(|name| !["HOME", "TMPDIR"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["GIVEN", "LC_ALL", "PATH", "TZ"]);
    }

    #[test]
    fn programs_outside_of_a_users_path_are_found() {
        let output = Tool::new("sh", "dash")
            .args(["-c", "echo $PATH"])
            .output()
            .unwrap();
        assert!(output.trim().ends_with(":/usr/sbin:/sbin"), "{output}");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Tool::new("no-such-program", "no-such-package")
            .output()
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the program `no-such-program` is missing: install the Debian package `no-such-package`"
        );
    }
}

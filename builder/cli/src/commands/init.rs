//! `portadc init`

use std::fs;
use std::io::{IsTerminal, Write, stderr, stdin};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use model::files::PartKind;
use model::names::{name_fault, quoted, suggest};
use serde_json::json;
use stock::Choices;

use crate::arguments::{Common, InitArguments};
use crate::output::{Coded, USAGE, print, print_json, say};
use crate::workplace;

/// Makes a project of what was said, asks for what was not where somebody can answer, and says how to go on.
pub fn run(common: &Common, arguments: &InitArguments) -> Result<()> {
    let folder = &arguments.folder;
    // Before anything is asked.
    stock::check_folder(folder)?;
    let choices = choices(arguments)?;
    if let Err(error) = choices.check() {
        let message = format!("{error:#}");
        return Err(Coded { code: USAGE, message }.into());
    }
    stock::init(folder, &choices, |draft| {
        workplace::checked(workplace::load_project(draft)?).map(drop)
    })?;
    let first = format!("{}-01", choices.fleet);
    if common.json {
        return print_json(&json!({ "folder": folder, "fleet": choices.fleet, "nodes": choices.nodes }));
    }
    if common.quiet {
        return Ok(());
    }
    print(&format!(
        "{} has the fleet {}. What to do next:\n\n    \
         cd {0}\n    \
         $EDITOR images/fleet.toml      # every choice, explained\n    \
         portadc check                  # everything that is wrong with it\n    \
         portadc build {first}\n    \
         portadc boot {first}            # in QEMU; or: sudo portadc flash {first} /dev/sdX\n",
        folder.display(),
        choices.fleet,
    ))
}

fn choices(arguments: &InitArguments) -> Result<Choices> {
    let asking = stdin().is_terminal() && stderr().is_terminal();
    let ask = Ask { asking };
    let files = stock::files(&arguments.folder);
    let boards = files.stock_names(PartKind::Board);
    let fleet = ask.unless(
        arguments.fleet.clone(),
        "Name of the fleet",
        folder_name(&arguments.folder),
        |name| match name_fault(name) {
            Some(fault) => Err(format!("the name {fault}")),
            None => Ok(name.to_owned()),
        },
    )?;
    let board = |name: &str| match boards.contains(name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "there is no board {}: {}",
            quoted(name),
            suggest(name, boards.iter().copied())
        )),
    };
    let known: Vec<&str> = boards.iter().copied().collect();
    let board = match &arguments.board {
        Some(name) => board(name).map_err(usage)?,
        None => ask.for_one(&format!("Board ({})", known.join(", ")), "odroid-c2", board)?,
    };
    let nodes = ask.unless(arguments.nodes, "Number of nodes", "3".to_owned(), |text| {
        let nodes = text
            .parse()
            .ok()
            .filter(|nodes| (1..=stock::MOST_NODES).contains(nodes));
        nodes.ok_or_else(|| format!("a number from 1 to {}", stock::MOST_NODES))
    })?;
    let containers = ask.unless(
        arguments.containers,
        "Do nodes run containers?",
        "no".to_owned(),
        |text| match text {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("yes or no".to_owned()),
        },
    )?;
    let subnet = ask.unless(
        arguments.subnet,
        "Network that the nodes are plugged into",
        "192.168.1.0/24".to_owned(),
        parsed::<Ipv4Net>("first address and prefix length: 192.168.1.0/24"),
    )?;
    let first = Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
    let gateway = ask.unless(
        arguments.gateway,
        "Its router",
        first.to_string(),
        parsed("an address: 192.168.1.1"),
    )?;
    let name_servers = match arguments.name_server.as_slice() {
        [] => vec![ask.for_one(
            "Its name server",
            &gateway.to_string(),
            parsed("an address: 192.168.1.1"),
        )?],
        servers => servers.to_vec(),
    };
    let admin_keys = match arguments.admin_key.as_slice() {
        [] if asking => ask.for_one(
            "File of your ssh public key, or none: the first build makes one",
            "none",
            |file| match file {
                "none" => Ok(Vec::new()),
                file => keys(Path::new(file)).map_err(|error| format!("{error:#}")),
            },
        )?,
        files => {
            let read: Vec<_> = files.iter().map(|file| keys(file)).collect::<Result<_>>()?;
            read.concat()
        }
    };
    Ok(Choices {
        fleet,
        board,
        nodes,
        subnet,
        gateway,
        name_servers,
        containers,
        admin_keys,
    })
}

/// The keys in a file, one a line.
fn keys(file: &Path) -> Result<Vec<String>> {
    let path: PathBuf = match (file.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => file.to_owned(),
    };
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim);
    let keys: Vec<String> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if keys.is_empty() {
        bail!("{} has no key", path.display());
    }
    Ok(keys)
}

/// The name of a fleet by its folder's.
fn folder_name(folder: &Path) -> String {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let plain = |c: char| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    match name.trim_matches('-') {
        "" => "fleet".to_owned(),
        name => name.to_owned(),
    }
}

fn parsed<T: FromStr>(what: &'static str) -> impl Fn(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| what.to_owned())
}

fn usage(message: String) -> anyhow::Error {
    Coded { code: USAGE, message }.into()
}

/// Asks whoever sits at the terminal, if anybody does.
struct Ask {
    asking: bool,
}

impl Ask {
    /// What was given, else the answer.
    fn unless<T>(
        &self,
        given: Option<T>,
        question: &str,
        usual: String,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        match given {
            Some(given) => Ok(given),
            None => self.for_one(question, &usual, parse),
        }
    }

    /// The answer to a question; an empty one, or nobody to ask, means `usual`. One that is wrong is asked for again.
    fn for_one<T>(
        &self,
        question: &str,
        usual: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        if !self.asking {
            return parse(usual).map_err(usage);
        }
        loop {
            write!(stderr(), "{question} [{usual}]: ").context("cannot ask")?;
            let mut answer = String::new();
            if stdin().read_line(&mut answer).context("cannot read the answer")? == 0 {
                bail!("no answer: nothing was made");
            }
            let answer = match answer.trim() {
                "" => usual,
                answer => answer,
            };
            match parse(answer) {
                Ok(value) => return Ok(value),
                Err(fault) => say(&fault),
            }
        }
    }
}

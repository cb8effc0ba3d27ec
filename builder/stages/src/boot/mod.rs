//! A node's image in QEMU, through U-Boot, as a card would start: to look at it, or to check its health over ssh.
//!
//! The image is never written to: a session on the console works on a throw-away snapshot, a check on an unlinked copy
//! that is larger, as a real card is, so that growing to the card's size is part of what is checked.

mod disk;
mod health;
mod machine;
mod ssh;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use engine::{Engine, Requirement};
use files::private;
use formats::units::Bytes;
use model::fleet::{Network, Node, Port};

pub use health::{Expected, Outcome};
use machine::{Console, Machine};
use ssh::Ssh;

/// Which image, for which node.
#[derive(Debug)]
pub struct BootRequest<'a> {
    /// The node the image was made for.
    pub node: &'a Node,
    /// The network the node is on; without taps, QEMU's user network takes its place.
    pub network: &'a Network,
    /// The second port of a gateway, by USB Ethernet, and the network that it is on.
    pub internet: Option<(&'a Port, &'a Network)>,
    /// Taps of this machine that the node's ports are plugged into, that of `internet` last; none: QEMU's user networks.
    pub taps: &'a [String],
    /// The image.
    pub image: &'a Path,
    /// Memory of the virtual machine.
    pub memory: Bytes,
}

impl BootRequest<'_> {
    /// The node's address: its own, or the one that QEMU's DHCP server gives it, the last of the network that is not the router's.
    pub fn address(&self) -> Ipv4Addr {
        self.node.address.unwrap_or_else(|| {
            let last = Ipv4Addr::from_bits(self.network.broadcast().to_bits() - 1);
            match self.network.gateway {
                Some(gateway) if gateway == last => Ipv4Addr::from_bits(last.to_bits() - 1),
                _ => last,
            }
        })
    }
}

/// How a check reaches the node.
#[derive(Debug)]
pub struct Access {
    /// The host keys of the whole fleet, as `ssh` reads them.
    pub known_hosts: PathBuf,
    /// The private key of the operator.
    pub operator_key: PathBuf,
    /// How long the node may take until ssh answers.
    pub patience: Duration,
    /// The size of the card that the image is tried on; larger than the image.
    pub card: Bytes,
}

/// A node that was checked. It runs until this value goes.
#[derive(Debug)]
pub struct Checked {
    /// How long ssh took to answer.
    pub answered: Duration,
    /// What was checked.
    pub outcomes: Vec<Outcome>,
    /// The arguments by which `ssh` gets there.
    pub login: Vec<String>,
    machine: Machine,
    /// Without a name, the card is there for as long as somebody has it open.
    _card: File,
}

impl Checked {
    /// Waits until the node is shut down.
    pub fn wait(&mut self) -> Result<()> {
        self.machine.wait()
    }
}

/// That `taps`, if there are any, are one for each port of `node`, and are there.
pub fn check_taps(taps: &[String], node: &Node) -> Result<()> {
    if taps.is_empty() {
        return Ok(());
    }
    let (name, ports) = (&node.name, 1 + usize::from(node.internet.is_some()));
    ensure!(
        node.address.is_some(),
        "{name} takes its address by DHCP, so nobody knows where it is on a tap: boot it without taps"
    );
    ensure!(
        taps.len() == ports,
        "the ports of {name} are {ports} and the taps {}: name a tap for each port, that of the internet last",
        taps.len()
    );
    // QEMU, as root, would make what is missing, plugged into nothing.
    let path = "/proc/self/net/dev";
    let devices = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let names: Vec<_> = devices
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    for tap in taps {
        ensure!(
            names.contains(&tap.as_str()),
            "there is no tap `{0}`: make it with `ip tuntap add mode tap name {0}`",
            tap.escape_debug()
        );
    }
    Ok(())
}

/// The programs that booting needs.
pub fn requirements() -> [Requirement; 3] {
    [
        Requirement::new("qemu-system-aarch64", "qemu-system-arm", "runs the image"),
        Requirement::new(
            machine::FIRMWARE,
            "u-boot-qemu",
            "loads the kernel as the board's U-Boot would",
        ),
        Requirement::new("ssh", "openssh-client", "checks the booted node"),
    ]
}

/// Boots with the console on this terminal, until the machine stops or the user ends it (Ctrl-A X).
pub fn on_console(request: &BootRequest) -> Result<()> {
    let mut machine = Machine::start(request, request.image, machine::Disk::Snapshot, Console::Terminal)?;
    machine.wait()
}

/// Boots on a larger card and compares the running node with what it should be.
pub fn check(
    engine: &Engine,
    request: &BootRequest,
    access: &Access,
    expected: &Expected,
) -> Result<Checked> {
    let name = &request.node.name;
    let card = disk::enlarged_copy(request.image, access.card)
        .with_context(|| format!("cannot copy {} onto a larger card", request.image.display()))?;
    let console = engine.logs.join(format!("boot-{name}.log"));
    if let Some(was_open) = private::take(&engine.logs)? {
        engine.progress.say(was_open);
    }
    let task = engine.progress.steps(&format!("boot {name}"), 0);
    task.message("waiting for ssh");
    let started = Instant::now();
    let mut machine = Machine::start(
        request,
        &disk::path_of(&card),
        machine::Disk::Throwaway,
        Console::Log(&console),
    )?;
    let ssh = Ssh {
        at: machine.ssh(),
        host_key_alias: request.node.name.clone(),
        known_hosts: &access.known_hosts,
        operator_key: &access.operator_key,
    };
    loop {
        if let Some(status) = machine.ended()? {
            bail!(
                "QEMU ended ({status}) before ssh answered; the console: {}",
                console.display()
            );
        }
        match ssh.run("true")? {
            ssh::Answer::Output(_) => break,
            ssh::Answer::WrongHostKey(message) => {
                bail!("{name} answers with a host key that is not in known_hosts: {message}")
            }
            ssh::Answer::Refused(reason) | ssh::Answer::Unreachable(reason) => {
                if started.elapsed() > access.patience {
                    bail!(
                        "{name} did not answer over ssh within {} s ({reason}); the console: {}",
                        access.patience.as_secs(),
                        console.display()
                    );
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }
    let answered = started.elapsed();
    task.message("checking");
    let outcomes = health::examine(&ssh, expected)?;
    task.done(format!("ssh answered after {:.0} s", answered.as_secs_f64()));
    Ok(Checked {
        answered,
        outcomes,
        login: ssh.login(),
        machine,
        _card: card,
    })
}

//! The virtual machine: QEMU's `virt` board, U-Boot, the card on virtio, and as networks either QEMU's own, without a way out,
//! or taps of this machine.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use engine::end_with_us;
use files::private;
use model::fleet::Network;

use super::BootRequest;

/// U-Boot's build for this machine, as Debian installs it.
pub const FIRMWARE: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

/// The port that a node's sshd listens on.
const SSH: u16 = 22;

/// How the machine treats its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What it writes goes to a snapshot that ends with it.
    Snapshot,
    /// It writes to the file, which nobody needs afterwards.
    Throwaway,
}

/// Where the serial line goes.
#[derive(Debug, Clone, Copy)]
pub enum Console<'a> {
    /// The terminal that portadc runs on.
    Terminal,
    /// A file.
    Log(&'a Path),
}

/// A running machine. It ends when this value goes.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    ssh: SocketAddrV4,
}

impl Machine {
    /// Starts the machine with `card` as its disk.
    pub fn start(request: &BootRequest, card: &Path, disk: Disk, console: Console) -> Result<Self> {
        ensure!(
            Path::new(FIRMWARE).exists(),
            "{FIRMWARE} is missing: install the Debian package `u-boot-qemu`"
        );
        let path = card
            .to_str()
            .with_context(|| format!("{} is not UTF-8", card.display()))?;
        let address = request.address();
        let mut taps = request.taps.iter();
        let (lan, ssh) = match taps.next() {
            Some(tap) => (tap_network(tap), SocketAddrV4::new(address, SSH)),
            None => {
                let forwarded = free_port()?;
                let user = user_network(request.network, address);
                let lan = format!("{user},dhcpstart={address},hostfwd=tcp:{forwarded}-{address}:{SSH}");
                (lan, forwarded)
            }
        };
        let snapshot = match disk {
            Disk::Snapshot => "on",
            Disk::Throwaway => "off",
        };
        let mut command = Command::new("qemu-system-aarch64");
        command
            .args([
                "-M",
                "virt",
                "-cpu",
                "cortex-a53",
                "-smp",
                "2",
                "-no-reboot",
                "-bios",
                FIRMWARE,
            ])
            .args(["-m", &format!("{}M", request.memory.0 >> 20)])
            // A comma in the path would start another option: QEMU wants it doubled.
            .arg("-drive")
            .arg(format!(
                "if=none,id=card,format=raw,discard=unmap,cache=unsafe,snapshot={snapshot},file={}",
                path.replace(',', ",,")
            ))
            .args(["-device", "virtio-blk-pci,drive=card"])
            // The board has a watchdog as well. What resets the machine ends it: see -no-reboot.
            .args(["-device", "i6300esb", "-action", "watchdog=reset"])
            .args(["-netdev", &format!("{lan},id=lan")])
            .arg("-device")
            .arg(format!("virtio-net-pci,netdev=lan,mac={}", mac_of(address)));
        if let Some((port, network)) = request.internet {
            let internet = match taps.next() {
                Some(tap) => tap_network(tap),
                None => user_network(network, port.address),
            };
            command
                .args(["-netdev", &format!("{internet},id=internet")])
                .args(["-device", "qemu-xhci", "-device"])
                .arg(format!("usb-net,netdev=internet,mac={}", mac_of(port.address)));
        }
        match console {
            Console::Terminal => {
                command.arg("-nographic");
            }
            Console::Log(log) => {
                let log = private::create(log).with_context(|| format!("cannot make {}", log.display()))?;
                command
                    .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log);
            }
        }
        end_with_us(&mut command);
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow!("the program `qemu-system-aarch64` is missing: install the Debian package `qemu-system-arm`")
            }
            _ => anyhow!(error).context("cannot start qemu-system-aarch64"),
        })?;
        Ok(Self { child, ssh })
    }

    /// Where the node's ssh is reached: behind a port of 127.0.0.1, or where the node itself is.
    pub fn ssh(&self) -> SocketAddrV4 {
        self.ssh
    }

    /// How the machine ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for the state of QEMU")
    }

    /// Waits until the machine stops.
    pub fn wait(&mut self) -> Result<()> {
        let status = self.child.wait().context("cannot wait for QEMU")?;
        ensure!(status.success(), "QEMU failed ({status})");
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do about an error.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// QEMU's part of a network on which a node has `address`: without a way out, and itself someone else there, the gateway
/// if that is not the node.
fn user_network(network: &Network, address: Ipv4Addr) -> String {
    let last = Ipv4Addr::from(u32::from(network.broadcast()) - 1);
    let first = Ipv4Addr::from(u32::from(network.base) + 1);
    let others = network.gateway.into_iter().chain([first, last]);
    let host = others.into_iter().find(|host| *host != address).unwrap_or(last);
    format!(
        "user,net={}/{},host={host},restrict=on",
        network.base, network.prefix
    )
}

/// QEMU's end of a tap that is there already, and is set up by whoever made it.
fn tap_network(tap: &str) -> String {
    format!("tap,ifname={},script=no,downscript=no", tap.replace(',', ",,"))
}

/// The MAC address of a port that has this address. QEMU would give every machine the same one, which a switch takes for one port.
fn mac_of(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("52:54:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// A port of 127.0.0.1 that nobody listens on.
fn free_port() -> Result<SocketAddrV4> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port on 127.0.0.1")?;
    match listener.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => bail!("{address} is no port of 127.0.0.1"),
    }
}

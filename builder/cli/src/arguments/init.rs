//! What `portadc init` takes.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Args;
use ipnet::Ipv4Net;

/// What a new project is of
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder; one that is there may have no file of a project
    pub folder: PathBuf,
    /// Name of the fleet, and how names of nodes start [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub fleet: Option<String>,
    /// Board of the nodes [default: odroid-c2]
    #[arg(long, value_name = "BOARD")]
    pub board: Option<String>,
    /// Number of nodes [default: 3]
    #[arg(long, value_name = "N")]
    pub nodes: Option<u16>,
    /// Whether the nodes run containers [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub containers: Option<bool>,
    /// The network that the nodes are on [default: 192.168.1.0/24]
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Option<Ipv4Net>,
    /// Its router [default: its first address]
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Option<Ipv4Addr>,
    /// Its name server; can be given several times [default: its router]
    #[arg(long, value_name = "ADDRESS")]
    pub name_server: Vec<Ipv4Addr>,
    /// File of OpenSSH public keys that may log in; can be given several times [default: only the key that the first build makes]
    #[arg(long, value_name = "FILE")]
    pub admin_key: Vec<PathBuf>,
}

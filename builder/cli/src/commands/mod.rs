//! The commands: each turns arguments into one call and prints what came of it.

mod audit;
mod boot;
mod build;
mod card;
mod context;
mod describe;
mod diff;
mod export;
mod firmware;
mod identity;
mod init;
mod inspect;
mod kernel;
mod keys;
mod list;
mod render;
mod revoke;
mod uboot;
mod update;
mod vendor;
mod volume;

use std::process::ExitCode;

use anyhow::Result;
use fetch::{Mode, Network, Search};
use stages::pack::Identities;

use crate::arguments::{Arguments, Command, Decryption, SourceOptions};
use crate::output::{FAILED, TROUBLE};

/// Runs the command that was asked for.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let common = &arguments.common;
    match &arguments.command {
        Command::Check => describe::check(common)?,
        Command::Show { node: Some(node), .. } => describe::show(common, node)?,
        Command::Show { power: true, .. } => describe::power(common)?,
        Command::Init(arguments) => init::run(common, arguments)?,
        Command::List | Command::Show { .. } => list::run(common)?,
        Command::Eject { part } => list::eject(common, part.as_deref())?,
        Command::Graph { output, format } => describe::graph(common, output.as_deref(), *format)?,
        Command::Render {
            nodes,
            all,
            file,
            output,
            sources,
        } => {
            let what = match (file, output) {
                (Some(path), _) => render::What::File(path),
                (None, Some(folder)) => render::What::Folder(folder),
                (None, None) => render::What::Paths,
            };
            render::run(common, nodes, *all, what, sources.as_deref())?;
        }
        Command::Context { node, variable } => context::run(common, node, variable.as_deref())?,
        Command::Schema { kind } => describe::schema(kind.as_deref())?,
        Command::Update {
            sources,
            if_gone,
            allow_downgrade,
        } => update::run(common, sources, *if_gone, *allow_downgrade)?,
        Command::Keys {
            mirror,
            offline,
            refresh,
            signers,
        } => {
            let search = match refresh {
                true => Search::All,
                false => Search::Ending,
            };
            keys::run(common, signers, search, mirror.as_deref(), &network_of(*offline))?;
        }
        Command::Audit {
            advisories,
            fixable,
            sources,
        } => return audit::run(common, advisories.as_deref(), *fixable, sources),
        Command::Vendor { folder, sources } => vendor::run(common, folder, sources)?,
        Command::Build {
            nodes,
            all,
            options,
            sources,
            blob_dir,
        } => build::run(common, nodes, *all, options, sources, blob_dir.as_deref())?,
        Command::Export(arguments) => export::run(common, arguments)?,
        Command::Boot(arguments) => return boot::run(common, arguments),
        Command::Flash {
            node,
            device,
            without_firmware,
            fixed_disk,
            only_changed,
            probe,
        } => {
            let options = card::Options {
                without_firmware: *without_firmware,
                fixed_disk: *fixed_disk,
                only_changed: *only_changed,
                probe: *probe,
            };
            card::run(common, node, device, options)?;
        }
        Command::Inspect(arguments) => return inspect::run(common, arguments),
        Command::Revoke { node, container, yes } => revoke::run(common, node, container, *yes)?,
        Command::Identity { command } => identity::run(common, command)?,
        Command::Diff {
            first,
            second,
            decryption,
            ..
        } => {
            return match (first, second) {
                (Some(first), Some(second)) => diff::images(common, first, second, decryption),
                _ => diff::fleet(common),
            };
        }
        Command::Firmware { command } => return firmware::run(common, command),
        Command::Kernel { command } => kernel::run(common, command)?,
        Command::UBoot(arguments) => uboot::run(common, arguments)?,
        Command::Volume(volume) => volume::run(common, volume)?,
        Command::Completion { shell } => describe::completion(*shell)?,
        Command::Man { folder } => describe::man(folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The exit code where `command` fails and the error has none of its own.
pub fn failed(command: &Command) -> u8 {
    match command {
        Command::Diff { .. } | Command::Audit { .. } => TROUBLE,
        _ => FAILED,
    }
}

/// By what an encrypted pack is read.
fn identities(decryption: &Decryption) -> Result<Option<Identities>> {
    let file = decryption.identity.as_deref();
    file.map(Identities::load).transpose()
}

/// How the network may be used.
fn network(sources: &SourceOptions) -> Network {
    network_of(sources.offline)
}

fn network_of(offline: bool) -> Network {
    Network::new(if offline { Mode::Offline } else { Mode::Online })
}

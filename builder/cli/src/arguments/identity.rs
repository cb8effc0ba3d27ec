//! What `portadc identity` takes.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Give what a node was known by to the node that it is called now: it got a new name in images/fleet.toml
    Rename {
        /// The name that it had
        old: String,
        /// The name that it has now
        new: String,
    },
    /// Remove what nodes were known by that the fleet no longer has; what was revoked stays known
    Prune {
        /// Remove it, and not only say what would go
        #[arg(short, long)]
        yes: bool,
    },
    /// Draw the key anew that logs in at all nodes; the old one is kept beside it until all cards are made anew
    RotateOperator,
}

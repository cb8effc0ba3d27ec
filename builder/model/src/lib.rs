//! What the user wrote, checked. `*Toml` types are a file as written; the types without the suffix are what is true
//! after every rule held. Whatever does not hold is a [`finding::Finding`] with file, line, caret and hint; all of
//! them are reported at once.
//!
//! | module | file | owns |
//! |---|---|---|
//! | [`finding`] | | what is wrong, where, and what to do |
//! | [`fleet`] | `images/fleet.toml` | networks, clusters, nodes, roles, admins |
//! | [`board`] | `boards/*/board.toml` | SoC, device tree, consoles, boot area, partition table |
//! | [`kernel`] | `kernel/` | the kernel's configuration and patches |
//! | [`layout`] | `images/layouts/*.toml` | partitions, file systems, subvolumes of a card |

pub mod board;
pub mod finding;
pub mod fleet;
pub mod kernel;
pub mod layout;

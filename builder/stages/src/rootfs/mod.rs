//! The root file system of a node as layers: a base, the kernel's modules, what the role's overlays lay over them,
//! and what is the node's own.
//!
//! | module | owns |
//! |---|---|
//! | `base` | what a base is to a role |
//! | `debian` | a base made by mmdebstrap, and what packages add to it |
//! | `apt_source` | suites and components that apt makes a base from |
//! | `apt_folder` | a folder of this machine as apt reads it |
//! | `gentoo` | a base made of a stage3 and packages |
//! | `portage` | what the portage of a node is told |
//! | `role` | the layers of a role, of its container image, and of a node |
//! | `overlaid` | overlays over layers: files, units, locked passwords |
//! | `merge` | overlays over each other, removals |
//! | `check` | the overlays of a project before anything is built |
//! | `settings` | what the fleet itself says: time zone, locale, users |
//! | `accounts` | owners by name, locked passwords |
//! | `runlevels` | what `rc-update add` would link |
//! | [`units`] | what `systemctl enable` would link |
//! | `context`, `network`, `render`, `faults` | what templates can use, their rendering, what is wrong with them in words |
//! | `preview` | what overlays lay on a node, without a base |
//! | `variables` | what templates can use, for a person to read |
//! | `stand_ins` | what stands for keys where none are needed |

mod accounts;
mod apt_folder;
mod apt_source;
mod base;
mod check;
mod context;
mod debian;
mod faults;
mod gentoo;
mod merge;
mod network;
mod overlaid;
mod portage;
mod preview;
mod render;
mod role;
mod runlevels;
mod scope;
mod settings;
mod stand_ins;
pub mod units;
mod variables;

pub use apt_source::{AptSource, AptSuite};
pub use base::{Base, BaseLayers, PackageSet};
pub use check::check_overlays;
pub use context::{NodeInputs, PartitionIds};
pub use debian::{DebianBase, DebianRoot, debian_requirements};
pub use gentoo::GentooBase;
pub use network::local_interface;
pub use preview::{Content, Laid, preview};
pub use render::own_paths;
pub use role::{ContainerImageLayers, NodeLayer, RoleInputs, RoleLayers, role_layers};
pub use variables::{lines, variables};

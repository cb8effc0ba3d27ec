//! What the user wrote, checked. `*Toml` types are a file as written; the types without the suffix are what is true
//! after every rule held. Whatever does not hold is a [`finding::Finding`] with file, line, caret and hint; all of
//! them are reported at once.
//!
//! | module | file | owns |
//! |---|---|---|
//! | [`project`] | | all files of a project, read and checked against each other |
//! | [`fleet`] | `images/fleet.toml` | networks, clusters, nodes, roles, admins |
//! | [`board`] | `boards/*/board.toml` | device tree, consoles, boot area, partition table |
//! | [`kernel`] | `kernel/` | the kernel's configuration and patches |
//! | [`layout`] | `images/layouts/*.toml` | partitions, file systems, subvolumes of a card |
//! | [`placement`] | | where the partitions of a card lie |
//! | [`overlay`] | `overlays/*/` | files, templates, units and packages laid over a base |
//! | [`users`] | | users of nodes beside root, of the fleet and of overlays |
//! | [`graph`] | | the fleet as one picture |
//! | [`show`] | | each value of a node and where it was written |
//! | [`schema`] | | a JSON Schema for each kind of file |
//! | [`files`] | | where each part comes from: the project, or the program |
//! | [`finding`] | | what is wrong, where, and what to do |
//! | [`document`] | | a TOML file checked against its schema |
//! | [`written`] | | values together with their place |
//! | [`names`] | | which names are allowed, and which was meant |

mod check;
mod container_image;
mod path;
mod together;

pub mod board;
pub mod document;
pub mod files;
pub mod finding;
pub mod fleet;
pub mod graph;
pub mod kernel;
pub mod layout;
pub mod names;
pub mod overlay;
pub mod placement;
pub mod project;
pub mod schema;
pub mod show;
pub mod size;
pub mod sources;
pub mod users;
pub mod written;

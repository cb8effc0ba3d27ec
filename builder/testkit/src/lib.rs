//! What tests share; never shipped.
//!
//! | module | owns |
//! |---|---|
//! | [`oracle`] | programs we did not write |
//! | [`volume`] | btrfs-progs and the kernel as oracles of a volume |
//! | [`compare`] | a mounted folder against the tree that it should be |
//! | [`listing`] | files with all that is known of them, from the kernel, a reader or a tree |
//! | [`fleet`] | the fleet that tests speak of |
//! | [`folder`] | folders as wholes |
//! | [`image`] | an image as a file |
//! | [`server`] | an HTTP server that goes wrong as a test scripts it |
//! | [`tars`] | tars, right and wrong |
//! | [`packages`] | binary packages of Gentoo, made by portage or by hand |
//! | [`golden`] | what stages of the cache made, and with which revision |
//! | [`error`] | errors with all their causes |
//! | [`fip`] | made-up boot loaders, and the boot area that they make |

pub mod compare;
pub mod error;
pub mod fip;
pub mod fleet;
pub mod folder;
pub mod golden;
pub mod image;
pub mod listing;
pub mod oracle;
pub mod packages;
pub mod server;
pub mod tars;
pub mod volume;

//! Values to bytes and back. Nothing here knows a path, starts a process, reads the clock or draws a random
//! number: every identifier and every time is an argument, so the same values give the same bytes.
//!
//! | module | owns |
//! |---|---|
//! | [`units`] | sizes, sectors and times as types |
//! | [`calendar`] | dates and days |
//! | [`ids`] | identifiers derived from names instead of drawn at random |
//! | [`digest`] | digests as text |
//! | [`blob`] | bytes that stay where they are until an image is written |
//! | [`sparse`] | an image as a list of pieces; holes are what no piece covers |
//! | [`delta`] | what an image has other than its base |
//! | [`segments`] | an image cut into parts that are hashed, compressed and listed by themselves |
//! | [`bmap`] | the block map of an image, as bmaptool reads it |
//! | [`seekable`] | a compressed image that can be read at any place |
//! | [`source`] | what can be read at any place |
//! | [`layer`] | a tar or a set of rendered files as inodes and finished, compressed extents |
//! | [`tree`] | layers stacked into the one tree that a file system holds |
//! | [`btrfs`] | a tree as a btrfs volume, and a volume read |
//! | [`fat`] | a list of files as a FAT volume, and a volume read |
//! | [`partition`], [`mbr`], [`gpt`] | partition tables |
//! | [`fip`] | the boot area of Amlogic's S905: signed boot loaders, written and read |
//! | [`tar`] | files as a tar |
//! | [`unpack`] | compressed streams |
//! | [`manifest`] | what an image is and what it was made of, as data |
//! | [`pack`] | what is in a folder of bases and deltas |

pub mod blob;
pub mod bmap;
pub mod btrfs;
pub mod calendar;
pub mod delta;
pub mod digest;
pub mod fat;
pub mod fip;
pub mod ids;
pub mod layer;
pub mod manifest;
pub mod pack;
pub mod partition;
mod scratch;
pub mod seekable;
pub mod segments;
pub mod source;
pub mod sparse;
pub mod tar;
pub mod tree;
pub mod units;
pub mod unpack;

pub use partition::{gpt, mbr};

//! Gentoo's binary packages without Gentoo: what indexes and package files say, which packages a node needs, and what
//! they put into a root file system. Values in, values out: no network, no processes, no clock.
//!
//! | module | owns |
//! |---|---|
//! | [`binary`] | a package file, verified: metadata in memory, image as a stream |
//! | `gpkg`, `xpak` | its two formats |
//! | `metadata`, `image` | what is in it |
//! | `expected` | what index and lock say of it |
//! | `section` | a part of a file as a stream |

pub mod binary;
mod expected;
mod gpkg;
mod image;
mod metadata;
mod section;
mod xpak;

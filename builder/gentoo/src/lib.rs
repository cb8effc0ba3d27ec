//! Gentoo's binary packages without Gentoo: what indexes and package files say, which packages a node needs, and what
//! they put into a root file system. Values in, values out: no network, no processes, no clock.
//!
//! | module | owns |
//! |---|---|

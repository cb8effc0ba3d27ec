//! Boot areas of boards: from folders and servers, in images of ours and of genimage, sound and damaged.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod genimage;
mod make;
mod raw;
mod report;

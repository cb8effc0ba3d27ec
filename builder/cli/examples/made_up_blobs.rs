//! Writes made-up boot loaders of the real sizes into a folder, as `portadc build --blob-dir` takes them: for tests of
//! whole images where the vendor's may not be.

#![allow(clippy::expect_used, reason = "a program of the tests")]

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder to write into"));
    fs::create_dir_all(&folder)?;
    for (name, bytes) in testkit::fip::blobs(1) {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

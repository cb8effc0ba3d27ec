//! How long an index of 20,000 packages takes to be read, and 300 packages of it to be resolved over a stage3 of 300:
//! `cargo run --release -p gentoo --example resolve`. The index is made up, the same every time.

use std::fmt::Write;
use std::time::Instant;

use gentoo::index::Packages;
use gentoo::resolve::{Init, Request, Source, resolve};
use gentoo::{Atom, Package};

/// Names; each comes in five versions, the last of them in two builds.
const NAMES: u64 = 3_334;
const INSTALLED: u64 = 300;
const WANTED: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let index = index()?;
    let start = Instant::now();
    let offered = Packages::parse(index.as_bytes())?.packages;
    let parsed = start.elapsed();

    // The stage3 has the middle version of the first names.
    let is_installed = |package: &&Package| {
        let number = package.cpv.name.as_str().rsplit('p').next();
        let number = number.and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| number < INSTALLED) && package.cpv.version.as_str() == "1.3"
    };
    let installed: Vec<Package> = offered.iter().filter(is_installed).cloned().collect();

    let masks = Init::Systemd.masks()?;
    let source = Source {
        name: "made up",
        packages: &offered,
    };
    // As many are requested as it takes to have 300 to install.
    let mut atoms: Vec<Atom> = Vec::new();
    let (found, resolved) = loop {
        let number = atoms.len() as u64;
        atoms.push(name(INSTALLED + number * 7 % (NAMES - INSTALLED)).parse()?);
        let request = Request {
            atoms: &atoms,
            masks: &masks,
            chost: Some("aarch64-unknown-linux-gnu"),
        };
        let start = Instant::now();
        let found = resolve(&installed, &[source], &request)?.chosen.len();
        if found >= WANTED {
            break (found, start.elapsed());
        }
    };
    println!(
        "{} packages in {:.1} MB read in {} ms; {} installed; {found} packages for {} requested ones resolved in {} ms",
        offered.len(),
        index.len() as f64 / 1e6,
        parsed.as_millis(),
        installed.len(),
        atoms.len(),
        resolved.as_millis()
    );
    Ok(())
}

fn name(number: u64) -> String {
    format!("cat-{}/p{number}", number % 100)
}

/// Numbers that look drawn.
fn noise(seed: u64) -> u64 {
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 29).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
}

/// An index with what Gentoo's has: some 15 dependencies for a package, most of them on what is installed, slots, bound
/// sub-slots, USE dependencies, choices, blockers and libraries.
fn index() -> Result<String, std::fmt::Error> {
    let mut index = "ARCH: arm64\nCHOST: aarch64-unknown-linux-gnu\nREPO: gentoo\nVERSION: 0\n".to_owned();
    for number in 0..NAMES {
        for build in 0..6 {
            let version = format!("1.{}", u64::min(build, 4) + 1);
            write!(
                index,
                "\nBUILD_ID: {}\nBUILD_TIME: {}\n",
                build + 1,
                1_758_000_000 + build
            )?;
            write!(
                index,
                "CPV: {}-{version}\nDEFINED_PHASES: compile configure install\n",
                name(number)
            )?;
            write!(
                index,
                "DESC: A package that is made up, number {number}\nEAPI: 8\n"
            )?;
            index +=
                "IUSE: +ssl gui test abi_x86_32 -static doc examples\nKEYWORDS: amd64 arm64 ~riscv x86\n";
            index += "LICENSE: GPL-2+ MIT\nUSE: abi_arm_64 elibc_glibc kernel_linux ssl\n";
            write!(
                index,
                "MD5: {:032x}\nSHA1: {:040x}\nSIZE: {}\n",
                noise(number),
                noise(build),
                1000 + number
            )?;
            writeln!(
                index,
                "PATH: {}/p{number}-{version}-{}.gpkg.tar",
                name(number),
                build + 1
            )?;
            write!(
                index,
                "SLOT: 0/{}\nPROVIDES: arm_64: libp{number}.so.1\n",
                number % 3
            )?;
            let mut requires = "REQUIRES: arm_64:".to_owned();
            index += "RDEPEND: !app-dead/old !<cat-0/p0-1.1";
            for at in 0..12 {
                let draw = noise(number * 31 + at);
                let base = draw % u64::min(INSTALLED, number.max(1));
                match at % 4 {
                    0 => write!(index, " >={}-1.1:0/{}=[ssl(+)]", name(base), base % 3)?,
                    1 => write!(index, " {}:0[-gui,elibc_glibc(+)]", name(base))?,
                    2 => write!(index, " || ( {} {} )", name(base), name(draw % number.max(1)))?,
                    _ => write!(index, " {}:=", name(base))?,
                }
                write!(requires, " libp{base}.so.1")?;
            }
            // What is not in the stage3 either.
            if number > INSTALLED {
                let other = INSTALLED + noise(number) % (number - INSTALLED);
                write!(index, " >={}-1.{}:0/{}=", name(other), 1 + other % 4, other % 3)?;
            }
            writeln!(index, "\n{requires}")?;
        }
    }
    Ok(index)
}

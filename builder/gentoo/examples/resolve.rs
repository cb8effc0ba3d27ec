//! An index of 20,000 packages with builds of three profiles read, and 300 packages of it resolved over a stage3 of 300.
//! What `ci/bench` measures.
//!
//! ```text
//! resolve --make >INDEX      makes an index up, the same every time
//! resolve --read INDEX       reads it
//! resolve INDEX              reads it and resolves packages of it
//! ```

use std::error::Error;
use std::fmt::Write;
use std::fs;

use gentoo::index::Packages;
use gentoo::resolve::{Init, Request, Source, resolve};
use gentoo::{Atom, Package};

/// Names; each comes in four versions, the last of them in a build of each profile.
const NAMES: u64 = 3_334;
/// What a profile sets, beside what all set: of OpenRC, and of two desktops with systemd.
const PROFILES: [&str; 3] = ["elogind", "X gtk systemd", "X qt6 systemd"];
/// Packages of the stage3.
const INSTALLED: u64 = 300;
/// As many are requested as it takes to have 300 to install.
const REQUESTED: u64 = 100;
const WANTED: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--make"] => print!("{}", index()?),
        ["--read", file] => println!("{} packages", read(file)?.len()),
        [file] => resolve_of(&read(file)?)?,
        _ => return Err("give --make, --read INDEX or INDEX".into()),
    }
    Ok(())
}

fn read(file: &str) -> Result<Vec<Package>, Box<dyn Error>> {
    Ok(Packages::parse(&fs::read(file)?)?.packages)
}

fn resolve_of(offered: &[Package]) -> Result<(), Box<dyn Error>> {
    // The stage3 has the middle version of the first names.
    let is_installed = |package: &&Package| {
        let number = package.cpv.name.as_str().rsplit('p').next();
        let number = number.and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| number < INSTALLED) && package.cpv.version.as_str() == "1.3"
    };
    let installed: Vec<Package> = offered.iter().filter(is_installed).cloned().collect();
    let requested = (0..REQUESTED).map(|number| name(INSTALLED + number * 7 % (NAMES - INSTALLED)).parse());
    let atoms: Vec<Atom> = requested.collect::<Result<_, _>>()?;
    let request = Request {
        atoms: &atoms,
        masks: &Init::Systemd.masks()?,
        chost: Some("aarch64-unknown-linux-gnu"),
        init: Some(Init::Systemd),
        package_use: &[],
    };
    let source = Source {
        name: "made up",
        packages: offered,
    };
    let chosen = resolve(&installed, &[source], &request)?.chosen;
    if let Some(wrong) = chosen
        .iter()
        .find(|one| one.package.use_flags.contains("elogind"))
    {
        return Err(format!("a build of OpenRC is taken: {}", wrong.package.cpv).into());
    }
    let found = chosen.len();
    if found < WANTED {
        return Err(format!("{found} packages instead of {WANTED} have to be installed").into());
    }
    println!(
        "{} packages, {} of them installed; {found} to be installed for {REQUESTED} requested ones",
        offered.len(),
        installed.len()
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
            let version = format!("1.{}", u64::min(build, 3) + 1);
            // Which one was built last is nobody's intention.
            write!(
                index,
                "\nBUILD_ID: {}\nBUILD_TIME: {}\n",
                build + 1,
                1_758_000_000 + noise(number * 6 + build) % 1_000_000
            )?;
            let profile = (build.saturating_sub(3)) as usize;
            let flags = if build < 3 { "systemd" } else { PROFILES[profile] };
            write!(
                index,
                "CPV: {}-{version}\nDEFINED_PHASES: compile configure install\n",
                name(number)
            )?;
            write!(
                index,
                "DESC: A package that is made up, number {number}\nEAPI: 8\n"
            )?;
            index += "IUSE: +ssl gui test abi_x86_32 -static doc examples systemd elogind X gtk qt6\n";
            index += "KEYWORDS: amd64 arm64 ~riscv x86\nLICENSE: GPL-2+ MIT\n";
            writeln!(index, "USE: abi_arm_64 elibc_glibc kernel_linux ssl {flags}")?;
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
                // A desktop's build needs more.
                if build > 3 {
                    let toolkit = INSTALLED + noise(number + build) % (number - INSTALLED);
                    write!(index, " {}", name(toolkit))?;
                }
            }
            writeln!(index, "\n{requires}")?;
        }
    }
    Ok(index)
}

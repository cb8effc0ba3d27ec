//! Projects whose base is Gentoo's, and what is locked of them.

use fetch::{BaseNeeds, LockedBase, LockedStage3, Network, Stage3Files};
use model::sources::{BaseSource, Stage3};

use crate::gentoo_mirror::Gentoo;
use crate::miniature::Project;

/// A project whose sources are on `mirror`.
pub fn project(mirror: &Gentoo) -> Project {
    Project::new("gentoo", &mirror.signer, mirror.files())
}

/// What is asked of a base by whoever wants these packages.
pub fn needs(packages: &[&str]) -> BaseNeeds {
    BaseNeeds {
        packages: packages.iter().map(|atom| (*atom).to_owned()).collect(),
        zstd: 3,
    }
}

/// What is locked of the base.
pub fn base(project: &Project) -> LockedStage3 {
    match &project.lock().find(&project.set).unwrap().base {
        LockedBase::Stage3(base) => base.clone(),
        LockedBase::Archive(_) => panic!("the gentoo set has an archive"),
    }
}

/// The files of the base as a build gets them; `own` is a mirror that the user names.
pub fn files_of<'a>(project: &'a Project, own: Option<&'a str>, network: &'a Network) -> Stage3Files<'a> {
    let BaseSource::Stage3(source) = &project.set.base else {
        panic!("the gentoo set has no stage3")
    };
    Stage3Files::new(
        &project.bench.engine,
        project.bench.folder.path(),
        source,
        base(project),
        own,
        network,
    )
}

/// A project that wants these packages of a mirror.
pub fn wanting(mirror: &Gentoo, packages: &[&str]) -> Project {
    let mut project = project(mirror);
    project.needs = needs(packages);
    project
}

/// The base of a project's set, to be changed.
pub fn written(project: &mut Project) -> &mut Stage3 {
    match &mut project.set.base {
        BaseSource::Stage3(base) => base,
        BaseSource::Archive { .. } => panic!("the gentoo set has no stage3"),
    }
}

//! Images as files of their own, plain or compressed.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use engine::Engine;
use rayon::prelude::*;

use super::card::{CardMaker, Planned};
use super::folder::ImageFolder;
use super::space::{self, Kept};
use super::state::ImageState;
use super::{BuiltImage, ImageFiles, Made};
use crate::delta_base::{DeltaBase, ImageFormat};

/// Whether the SHA-256 of each whole image is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// Manifest and block map do.
    Skip,
    /// It takes longer than everything else.
    Compute,
}

/// Writes the images of all nodes of `kinds` that are not as they should be. To be run in the pool of a build.
pub fn write(
    engine: &Engine,
    folder: &ImageFolder,
    kinds: &[CardMaker],
    format: ImageFormat,
    sums: Sums,
) -> Result<Made> {
    let mut all = Made::default();
    for maker in kinds {
        let mut made = write_kind(engine, folder, maker, format, sums, &mut all.warnings)?;
        if sums == Sums::Compute {
            made = made
                .into_par_iter()
                .map(|(files, image)| {
                    let sha256 = Some(files.sha256()?);
                    Ok((files, BuiltImage { sha256, ..image }))
                })
                .collect::<Result<_>>()?;
        }
        all.images.extend(made.into_iter().map(|(_, image)| image));
    }
    Ok(all)
}

fn write_kind(
    engine: &Engine,
    folder: &ImageFolder,
    maker: &CardMaker,
    format: ImageFormat,
    sums: Sums,
    warnings: &mut Vec<String>,
) -> Result<Vec<(ImageFiles, BuiltImage)>> {
    let built = |planned: &Planned, files: ImageFiles, written, state: ImageState| {
        let image = BuiltImage {
            node: planned.node.name.clone(),
            address: planned.node.address_text(),
            path: files.image.clone(),
            written,
            figures: state.figures,
            sha256: state.sha256,
        };
        (files, image)
    };
    let task = engine.progress.steps("images", maker.nodes.len() as u64);
    let mut images = Vec::new();
    let mut missing = Vec::new();
    let looked_at = maker.plan()?.into_par_iter().map(|planned| {
        let files = folder.files(&planned.node.name, format);
        let state = files.current(&planned.key);
        let is_unsummed = state.as_ref().is_some_and(|state| state.sha256.is_none());
        // Whoever says what a file is reads it anyway, and says it only of what was written.
        let damage = match sums {
            Sums::Compute if is_unsummed => files.damage(),
            _ => None,
        };
        (planned, files, state, damage)
    });
    for (planned, files, state, damage) in looked_at.collect::<Vec<_>>() {
        match (state, damage) {
            (Some(state), None) => images.push(built(&planned, files, false, state)),
            (None, None) => missing.push((planned, files)),
            (_, Some(damage)) => {
                warnings.push(format!(
                    "{} was damaged since it was written, and was written anew: {damage}",
                    files.image.display()
                ));
                missing.push((planned, files));
            }
        }
    }
    let (unchanged, written) = (images.len(), missing.len());
    task.advance(unchanged as u64);
    if let Some((any, _)) = missing.first() {
        let base = maker.base(&any.own)?;
        let path = folder.path();
        // What is written anew takes the place of what was there.
        let new = missing.iter().filter(|(_, files)| !files.image.exists()).count();
        // While compressed ones are written there is a file of what they have in common.
        let common = usize::from(format == ImageFormat::Compressed);
        let delta_base = folder.begin(|| {
            space::check(path, &base.image, new.max(1) + common, Kept::of_images(path)?)?;
            DeltaBase::new(format, &base.image, &base.segments, path, missing.len())
        })?;
        let failed = AtomicBool::new(false);
        let made: Vec<_> = missing
            .into_par_iter()
            .map(|(planned, files)| {
                // One failure is likely to be everyone's, as a full disk is.
                if failed.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let write = || -> Result<_> {
                    let card = maker.card(&base, &planned)?;
                    let state = match &card.alone {
                        None => files.write(&planned.key, &card, &delta_base),
                        Some(image) => {
                            let delta_base = DeltaBase::new(format, image, &card.segments, path, 1)?;
                            files.write(&planned.key, &card, &delta_base)
                        }
                    }?;
                    Ok(Some(built(&planned, files, true, state)))
                };
                let image = write();
                failed.fetch_or(image.is_err(), Ordering::Relaxed);
                task.advance(1);
                image
            })
            .collect();
        for image in made {
            images.extend(image?);
        }
    }
    task.done(format!("{written} written, {unchanged} unchanged"));
    Ok(images)
}

//! What was taught before and is continued: a model, and the memory that lies beside it.
//!
//! `<digest>.onnx` holds what a station needs, `<digest>.memory` the sums that more cloth is added
//! to; without the latter a model inspects as before and cannot be continued. Everything that
//! gives the sums their meaning must be as it was: network, planes, scale, lanes, light.
//!
//! The camera's fixed pattern stays as it was first taught: all sums were made with it taken off.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use calibration::FlatField;
use models::teach::{Memory, REFERENCE};
use models::{Article, Backbone, Passport};

use super::Teaching;
use crate::fitting::{flat_field_of, scales_agree};

/// What is continued.
pub(super) struct Earlier {
    pub(super) passport: Passport,
    pub(super) memory: Memory,
    /// The camera's fixed pattern, per lane.
    pub(super) flat_fields: Vec<Option<FlatField>>,
}

/// Where the memory of a model lies.
pub(super) fn memory_path(article: &Article) -> PathBuf {
    article.path().with_extension("memory")
}

/// Keeps what `article` can be continued from.
pub(super) fn keep(article: &Article, memory: &Memory) -> anyhow::Result<()> {
    let owner = serde_json::json!({
        "article": article.passport().article,
        "model": article.digest(),
    });
    Ok(memory.write(&memory_path(article), owner)?)
}

impl Earlier {
    /// What `article` was taught from, if `teaching` can go on with it on `backbone`.
    pub(super) fn of(
        article: &Article,
        teaching: &Teaching<'_>,
        backbone: &Backbone,
    ) -> anyhow::Result<Self> {
        let path = memory_path(article);
        let (memory, owner) = Memory::read(&path).with_context(|| {
            format!(
                "model {} cannot be continued; teach the article again with all of its cloth",
                article.digest()
            )
        })?;
        let found = owner["model"].as_str().unwrap_or("none");
        ensure!(
            found == article.digest(),
            "{path:?} belongs to model {found}, expected {}",
            article.digest()
        );
        let passport = article.passport().clone();
        ensure!(
            passport.backbone.mode == backbone.mode,
            "found mode {} in the earlier model, expected {}: it was taught in another way; go on in its mode, or teach the article anew",
            passport.backbone.mode,
            backbone.mode
        );
        ensure!(
            passport.backbone == *backbone && passport.reference == REFERENCE,
            "found network {:?}, {} and other settings in the earlier model, expected {:?}, {}: it was taught in another way",
            passport.backbone.name,
            passport.backbone.digest,
            backbone.name,
            backbone.digest
        );
        let station = teaching.station;
        let lane = &station.lanes[0];
        ensure!(
            scales_agree(
                [passport.mm_per_px, passport.mm_per_line],
                [lane.mm_per_px, lane.mm_per_line]
            ),
            "found cloth at {} x {} mm per pixel, expected {} x {} as it was taught before",
            lane.mm_per_px,
            lane.mm_per_line,
            passport.mm_per_px,
            passport.mm_per_line
        );
        let n_lanes = station.lanes.len();
        ensure!(
            passport.lanes.len() == n_lanes && memory.n_lanes() == n_lanes,
            "found {n_lanes} lanes, expected {} as it was taught before",
            passport.lanes.len()
        );
        ensure!(
            memory.n_features() == backbone.n_features,
            "found {} features in {path:?}, expected {}",
            memory.n_features(),
            backbone.n_features
        );
        let flat_fields = passport.lanes.iter().map(flat_field_of);
        Ok(Self {
            flat_fields: flat_fields
                .collect::<Result<_, _>>()
                .context("the camera's fixed pattern in the earlier model is damaged")?,
            passport,
            memory,
        })
    }
}

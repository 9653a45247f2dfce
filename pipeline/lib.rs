//! Selvedge's line: from frames to flaws and a true ledger, and the program around it.
//!
//! ```text
//! source ─▶ capture ─▶ tiles ─▶ inference × N ─▶ reorder ─▶ judging ─▶ flaws ─▶ stitch ─▶ borders
//!                                                                         └─▶ roll ─▶ record ─▶ store
//! ```
//!
//! Modules stand in the order in which cloth meets them; each imports only those above it.
//! [`mod@line`] makes the channels and threads of a roll, [`station`] those that outlive one, and
//! nobody else does. Live inspection, evaluation, teaching and batch
//! run through the same line and differ only in what they do with its ordered blocks.

pub mod new_cloth;

pub mod config;

pub mod even_light;

pub mod source;

pub mod channel;

mod delivery;

pub mod seams;

pub mod standing;

pub mod desk;

pub mod tiles;

pub mod inference;

pub mod reorder;

pub mod judging;

pub mod flaws;

pub mod wrong_article;

pub mod focus;

pub mod floods;

pub mod classes;

pub mod stitch;

pub mod running;

pub mod borders;

pub mod crops;

pub mod roll;

pub mod record;

pub mod lengths;

pub mod web;

pub mod drift;

pub mod line;

pub mod repeats;

pub mod alarms;

pub mod outputs;

pub mod meters;

pub mod ribbon;

pub mod shelf;

pub mod fitting;

pub mod resume;

pub mod ending;

pub mod inspect;

pub mod watched;

pub mod station;

pub mod retention;

pub mod limits;

pub mod teach;

pub mod ranking;

pub mod labels;

pub mod evaluate;

pub mod class_samples;

pub mod calibrating;

pub mod grading;

pub mod picture;

pub mod roll_view;

pub mod cli;

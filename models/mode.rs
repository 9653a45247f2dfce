//! How thoroughly cloth is looked at: three modes, each a recipe of network and layers.
//!
//! ```text
//! Mode ─▶ Recipe: which network of the zoo, which of its layers, how far they see
//! ```
//!
//! A recipe is all that tells the modes apart: teaching, judging and the line are the same code.
//! The passport keeps what a recipe said when an article was taught, so that a model goes on as it
//! was taught when recipes change. Nothing here reads a file.

use serde::{Deserialize, Serialize};

/// How thoroughly cloth is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The first layers only.
    Fast,
    /// What every article is taught with unless something else is asked for.
    #[default]
    Standard,
    /// A stronger network.
    Quality,
}

/// What a mode is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) network: Network,
    /// Layers whose values become features, in that order.
    pub(crate) layers: &'static [Layer],
    /// Pixels around a tile's kept part; what lies there only gives the kept part its surroundings.
    pub(crate) halo_px: usize,
}

/// A network of the zoo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Its name in the zoo.
    pub(crate) name: &'static str,
    /// What its training subtracted from levels of 0 to 255, red, green, blue.
    pub(crate) centre: [f32; 3],
    /// What its training divided by, likewise.
    pub(crate) spread: [f32; 3],
}

/// A value of the network, and how far apart its cells are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// Name of the network's output.
    pub(crate) name: &'static str,
    /// Pixels from one cell to the next.
    pub(crate) stride_px: usize,
}

const LITE0: Network = Network {
    name: "efficientnet_lite0",
    centre: [127.0; 3],
    spread: [128.0; 3],
};

const RESNET18: Network = Network {
    name: "resnet18",
    centre: [123.675, 116.28, 103.53],
    spread: [58.395, 57.12, 57.375],
};

const fn layer(name: &'static str, stride_px: usize) -> Layer {
    Layer { name, stride_px }
}

/// One layer of 16 features, which sees small flaws; 16 px is as far as the spots' filters reach. The
/// first block of stride 4 beside it brought the pixels' AUROC from 0.911 to 0.946 on real strips,
/// changed nothing in what was found, and cost half as much again.
const FAST: Recipe = Recipe {
    network: LITE0,
    layers: &[layer("stride2", 2)],
    halo_px: 16,
};

/// Three layers of 80 features. The network sees 18 px before a cell (10 + 8) and 17 behind it; 32
/// instead of 24 changed no figure of real strips. The stride's last block instead of its first, and
/// the 40 px that it needs, brought AUROC from 0.989 to 0.993 there and cost half as much again.
const STANDARD: Recipe = Recipe {
    network: LITE0,
    layers: &[
        layer("stride2", 2),
        layer("stride4", 4),
        layer("stride8_early", 8),
    ],
    halo_px: 24,
};

/// Three layers of 256 features. The network sees 57 px to each side of a cell.
const QUALITY: Recipe = Recipe {
    network: RESNET18,
    layers: &[
        layer("stride2", 2),
        layer("stride4", 4),
        layer("stride8", 8),
    ],
    halo_px: 64,
};

impl Mode {
    /// Every mode, fastest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Standard, Self::Quality];

    /// The word for it in passports and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Fast => "fast",
            Mode::Standard => "standard",
            Mode::Quality => "quality",
        }
    }

    /// The network underneath, by its name in the zoo.
    pub fn backbone(self) -> &'static str {
        self.recipe().network.name
    }

    /// The command that installs what this mode needs.
    pub fn install_command(self) -> &'static str {
        match self {
            Mode::Fast | Mode::Standard => "make setup",
            Mode::Quality => "make quality",
        }
    }

    pub(crate) fn recipe(self) -> Recipe {
        match self {
            Mode::Fast => FAST,
            Mode::Standard => STANDARD,
            Mode::Quality => QUALITY,
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CELL_PX, MAX_HALO_PX, TILE_STEP_PX};

    #[test]
    fn every_mode_fits_the_tiles_that_the_line_cuts() {
        for mode in Mode::ALL {
            let recipe = mode.recipe();
            assert!(recipe.halo_px <= MAX_HALO_PX, "{mode}");
            assert!(recipe.halo_px.is_multiple_of(TILE_STEP_PX), "{mode}");
            assert!(!recipe.layers.is_empty(), "{mode}");
            for layer in recipe.layers {
                let stride = layer.stride_px;
                assert!(TILE_STEP_PX.is_multiple_of(stride), "{mode}: {layer:?}");
                assert!(
                    stride.is_multiple_of(CELL_PX) || CELL_PX.is_multiple_of(stride),
                    "{mode}: {layer:?}"
                );
            }
        }
    }

    #[test]
    fn a_mode_is_called_the_same_in_passports_and_on_the_command_line() {
        for mode in Mode::ALL {
            let written = serde_json::to_value(mode).unwrap();
            assert_eq!(written, mode.as_str());
            assert_eq!(serde_json::from_value::<Mode>(written).unwrap(), mode);
        }
    }
}

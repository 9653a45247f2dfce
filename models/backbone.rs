//! The network under an article model, as set-up installed it, made to see evened pixels.
//!
//! ```text
//! zoo file ─▶ its own normalisation folded into the stem ─▶ the mode's layers, each
//!     on its own grid ─┬─▶ brought to cells of 4 px, side by side ─────────▶ raw features
//!                      └─▶ whitened there ─▶ brought to cells of 4 px ─▶ + ─▶ features
//! ```
//!
//! Whitening is linear, and so is bringing a layer to another grid: each layer is whitened where it
//! is smallest, which is a third of the work of whitening all of them on one grid, and the parts are
//! added. Which layers those are is the [`Mode`]'s matter. Nothing is trained here.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Array4, ArrayD, Axis, Ix1, Ix4, s};

use crate::article::ArticleScorer;
use crate::file::{digest_of, read_file};
use crate::mode::{Layer, Mode};
use crate::onnx::graph::{Dim, Graph, Window, int, ints, text};
use crate::onnx::proto::ModelProto;
use crate::onnx::read::{initializer, read_model};
use crate::onnx::{Runtime, Session};
use crate::passport::{Backbone, Channels};
use crate::teach::Whitener;
use crate::{CELL_PX, ModelError, spots};

/// Level that stands for the cloth's usual brightness when the network sees it. Its training
/// pictures had 127 in the middle; cloth at 120 leaves room for highlights.
const USUAL_LEVEL: f32 = 120.0;

/// The network underneath, as installed by set-up, for one mode.
pub struct BackboneFile {
    model: ModelProto,
    mode: Mode,
    digest: String,
    path: PathBuf,
}

impl BackboneFile {
    /// Reads the installed backbone of `mode`.
    ///
    /// # Errors
    /// [`ModelError::NoBackbone`] when set-up did not install it; else as for
    /// [`BackboneFile::read`].
    pub fn installed(runtime: &Runtime, mode: Mode) -> Result<Self, ModelError> {
        let path = runtime.backbone(mode.backbone());
        if path.exists() {
            return Self::read(&path, mode);
        }
        Err(ModelError::NoBackbone {
            mode,
            path,
            command: mode.install_command(),
        })
    }

    /// Reads a backbone for `mode`.
    ///
    /// # Errors
    /// [`ModelError::File`] or [`ModelError::NotOnnx`].
    pub fn read(path: &Path, mode: Mode) -> Result<Self, ModelError> {
        let bytes = read_file(path)?;
        let model = read_model(&bytes).map_err(|source| ModelError::NotOnnx {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            model,
            mode,
            digest: digest_of(&bytes),
            path: path.to_owned(),
        })
    }

    /// A session that gives raw features: what there is before anything was taught. Beside them it
    /// gives texels, or what `filters` find.
    ///
    /// # Errors
    /// [`ModelError::BadBackbone`] when a layer is missing, or what ONNX Runtime said.
    pub fn raw_scorer(
        &self,
        runtime: &Runtime,
        channels: Channels,
        filters: &[Array2<f32>],
    ) -> Result<ArticleScorer, ModelError> {
        let mut graph = self.evened(channels)?;
        let mut n_features = 0;
        let mut values = Vec::new();
        for layer in self.layers() {
            n_features += self.channels_of(layer.name)?;
            values.push(put_on_cells(&mut graph, layer, layer.name));
        }
        let inputs: Vec<&str> = values.iter().map(String::as_str).collect();
        let axis = vec![int("axis", 1)];
        graph.node("features", "Concat", &inputs, &["features"], axis);
        graph.output("features", &grid(n_features));
        spots::put(&mut graph, "pixels", channels.n_planes(), filters);
        graph.prune();
        let model = graph.into_model().map_err(|error| self.bad(&error))?;
        Ok(ArticleScorer::of(
            Session::new(runtime, &model.to_bytes())?,
            channels.n_planes(),
            n_features,
        ))
    }

    /// What goes into the passport.
    ///
    /// # Errors
    /// [`ModelError::BadBackbone`] when a layer is missing.
    pub fn describe(&self) -> Result<Backbone, ModelError> {
        let recipe = self.mode.recipe();
        let mut n_features = 0;
        for layer in self.layers() {
            n_features += self.channels_of(layer.name)?;
        }
        Ok(Backbone {
            mode: self.mode,
            name: recipe.network.name.to_owned(),
            digest: self.digest.clone(),
            layers: recipe.layers.iter().map(|l| l.name.to_owned()).collect(),
            n_features,
            halo_px: recipe.halo_px,
        })
    }

    /// The network with its output `features`, whitened.
    pub(crate) fn whitened(
        &self,
        channels: Channels,
        whitener: &Whitener,
    ) -> Result<Graph, ModelError> {
        let mut graph = self.evened(channels)?;
        let n_features = whitener.matrix.nrows();
        let nothing = Array1::zeros(n_features);
        let mut bias = -whitener.matrix.dot(&whitener.mean);
        let mut first = 0;
        let mut sum: Option<String> = None;
        for layer in self.layers() {
            let own = first..first + self.channels_of(layer.name)?;
            first = own.end;
            let columns = whitener.matrix.slice(s![.., own]);
            let weights = columns.insert_axis(Axis(2)).insert_axis(Axis(3));
            let once = Window {
                stride: 1,
                pads: [0; 4],
                group: 1,
            };
            let name = format!("{}.whitened", layer.name);
            let mut put = |graph: &mut Graph, input: &str| {
                let value = graph.conv(&name, input, weights, bias.view(), once);
                bias.assign(&nothing);
                value
            };
            let part = if layer.stride_px > CELL_PX {
                let whitened = put(&mut graph, layer.name);
                put_on_cells(&mut graph, layer, &whitened)
            } else {
                let on_cells = put_on_cells(&mut graph, layer, layer.name);
                put(&mut graph, &on_cells)
            };
            sum = Some(match sum {
                Some(sum) => graph.add(&format!("{}.sum", layer.name), &part, &sum),
                None => part,
            });
        }
        let sum = sum.ok_or_else(|| self.bad(&"found a mode without layers"))?;
        if first != whitener.matrix.ncols() {
            return Err(self.bad(&format!(
                "found {first} features, expected {} as were taught",
                whitener.matrix.ncols()
            )));
        }
        graph.rename(&sum, "features");
        graph.output("features", &grid(n_features));
        Ok(graph)
    }

    /// The network with an input of evened pixels instead of normalised RGB, and without outputs.
    fn evened(&self, channels: Channels) -> Result<Graph, ModelError> {
        let mut model = self.model.clone();
        let weights: Array4<f32> = self
            .weights(&model, "stem.weight")?
            .into_dimensionality::<Ix4>()
            .map_err(|error| self.bad(&error))?;
        let bias: Array1<f32> = self
            .weights(&model, "stem.bias")?
            .into_dimensionality::<Ix1>()
            .map_err(|error| self.bad(&error))?;
        let (weights, bias) = self.folded(weights, bias, channels)?;
        let mut fresh = Graph::new("stem");
        fresh.constant("stem.weight", weights.view());
        fresh.constant("stem.bias", bias.view());
        let fresh = fresh.into_model().map_err(|error| self.bad(&error))?;
        let graph = model.graph.get_or_insert_default();
        for tensor in fresh.graph.unwrap_or_default().initializer {
            for old in &mut graph.initializer {
                if old.name == tensor.name {
                    *old = tensor.clone();
                }
            }
        }
        let mut input = Graph::new("input");
        input.input("pixels", &image(channels));
        let input = input.into_model().map_err(|error| self.bad(&error))?;
        graph.input = input.graph.unwrap_or_default().input;
        for node in &mut graph.node {
            for name in &mut node.input {
                if name == "input" {
                    "pixels".clone_into(name);
                }
            }
        }
        let mut graph = Graph::of(model).map_err(|error| self.bad(&error))?;
        graph.clear_outputs();
        Ok(graph)
    }

    /// The stem with the network's own normalisation in it, for pixels of which 1.0 is the cloth's
    /// usual brightness. Grey pixels are all three colours at once, so their weights add up.
    fn folded(
        &self,
        mut weights: Array4<f32>,
        mut bias: Array1<f32>,
        channels: Channels,
    ) -> Result<(Array4<f32>, Array1<f32>), ModelError> {
        let network = self.mode.recipe().network;
        if weights.len_of(Axis(1)) != network.centre.len() {
            return Err(self.bad(&format!(
                "found a stem for {} colours, expected {}",
                weights.len_of(Axis(1)),
                network.centre.len()
            )));
        }
        for (colour, mut plane) in weights.axis_iter_mut(Axis(1)).enumerate() {
            let (centre, spread) = (network.centre[colour], network.spread[colour]);
            bias = bias + plane.sum_axis(Axis(2)).sum_axis(Axis(1)) * (-centre / spread);
            plane *= USUAL_LEVEL / spread;
        }
        if channels == Channels::Grey {
            weights = weights.sum_axis(Axis(1)).insert_axis(Axis(1));
        }
        Ok((weights, bias))
    }

    fn layers(&self) -> &'static [Layer] {
        self.mode.recipe().layers
    }

    fn weights(&self, model: &ModelProto, name: &str) -> Result<ArrayD<f32>, ModelError> {
        initializer(model, name).map_err(|error| self.bad(&error))
    }

    fn channels_of(&self, value: &str) -> Result<usize, ModelError> {
        let dims = self
            .model
            .graph
            .iter()
            .flat_map(|graph| &graph.output)
            .find(|output| output.name.as_deref() == Some(value))
            .and_then(|output| output.r#type.as_ref())
            .and_then(|kind| kind.tensor_type.as_ref())
            .and_then(|tensor| tensor.shape.as_ref())
            .and_then(|shape| shape.dim.get(1))
            .and_then(|dim| dim.dim_value);
        dims.and_then(|channels| usize::try_from(channels).ok())
            .ok_or_else(|| {
                self.bad(&format!(
                    "found no output {value:?} with known channels: run `{}` to make it anew",
                    self.mode.install_command()
                ))
            })
    }

    pub(crate) fn bad(&self, reason: &dyn std::fmt::Display) -> ModelError {
        ModelError::BadBackbone {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Brings `value`, which has the layer's stride, to cells of [`CELL_PX`]; gives its name there.
fn put_on_cells(graph: &mut Graph, layer: &Layer, value: &str) -> String {
    let stride = layer.stride_px;
    let name = format!("{}.cells", layer.name);
    if stride < CELL_PX {
        let size = (CELL_PX / stride) as i64;
        let attributes = vec![
            ints("kernel_shape", &[size; 2]),
            ints("strides", &[size; 2]),
        ];
        graph.node(&name, "AveragePool", &[value], &[&name], attributes);
    } else if stride > CELL_PX {
        let factor = stride as f32 / CELL_PX as f32;
        let scales = graph.constant(
            &format!("{name}.scales"),
            ndarray::arr1(&[1.0, 1.0, factor, factor]).view(),
        );
        let attributes = vec![
            text("mode", "linear"),
            text("coordinate_transformation_mode", "half_pixel"),
        ];
        let inputs = [value, "", &scales];
        graph.node(&name, "Resize", &inputs, &[&name], attributes);
    } else {
        return value.to_owned();
    }
    name
}

fn image(channels: Channels) -> [Dim<'static>; 4] {
    let planes = channels.n_planes() as i64;
    [
        Dim::Named("n"),
        Dim::Fixed(planes),
        Dim::Named("h"),
        Dim::Named("w"),
    ]
}

fn grid(n_features: usize) -> [Dim<'static>; 4] {
    [
        Dim::Named("n"),
        Dim::Fixed(n_features as i64),
        Dim::Named("h/4"),
        Dim::Named("w/4"),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{Write, stderr};

    use ndarray::{Array2, Array3};

    use super::*;
    use crate::Scorer;
    use crate::spots::SIDE;

    /// The installed backbone of `mode`, if it is installed.
    fn installed(mode: Mode) -> Option<(Runtime, BackboneFile)> {
        let found = Runtime::load()
            .and_then(|runtime| Ok((runtime.clone(), BackboneFile::installed(&runtime, mode)?)));
        match found {
            Err(
                error @ (ModelError::NoRuntime { .. }
                | ModelError::NoBackbone { .. }
                | ModelError::WithoutOnnx { .. }),
            ) => {
                // Not with `eprintln`, whose words the harness keeps.
                writeln!(stderr(), "NOT RUN: {error}").unwrap();
                None
            }
            found => Some(found.unwrap()),
        }
    }

    /// A tile with something to see everywhere.
    fn tile(planes: usize) -> Array3<f32> {
        Array3::from_shape_fn((planes, 64, 96), |(plane, row, col)| {
            let mixed = (7919 * plane + 104_729 * row + 1_299_709 * col + 31 * row * col) % 256;
            mixed as f32 / 128.0
        })
    }

    #[test]
    fn layers_whitened_on_their_own_grids_are_what_they_are_on_one() {
        for mode in Mode::ALL {
            let Some((runtime, backbone)) = installed(mode) else {
                continue;
            };
            for channels in [Channels::Grey, Channels::Rgb] {
                let tile = tile(channels.n_planes());
                let mut raw = backbone.raw_scorer(&runtime, channels, &[]).unwrap();
                let n = raw.n_features();
                let whitener = Whitener {
                    matrix: Array2::from_shape_fn((n, n), |(row, col)| {
                        if col > row {
                            0.0
                        } else {
                            ((row * 31 + col * 17) % 13) as f32 / 13.0 - 0.5
                        }
                    }),
                    mean: Array1::from_shape_fn(n, |k| (k % 7) as f32),
                };
                let raw = raw.features(tile.view()).unwrap().view().to_owned();
                let expected = whitener.apply(&raw);

                let mut graph = backbone.whitened(channels, &whitener).unwrap();
                graph.prune();
                let model = graph.into_model().unwrap().to_bytes();
                let mut session = Session::new(&runtime, &model).unwrap();
                let found = session.features(tile.view()).unwrap();

                assert_eq!(found.shape(), expected.shape());
                let scale = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
                for (found, expected) in found.view().iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() < 1e-5 * scale,
                        "{mode} {channels:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn grey_is_the_same_as_three_equal_colours() {
        for mode in Mode::ALL {
            let Some((runtime, backbone)) = installed(mode) else {
                continue;
            };
            let grey = tile(1);
            let plane = grey.index_axis(Axis(0), 0);
            let rgb = ndarray::stack![Axis(0), plane, plane, plane];
            let features = |channels, tile: &Array3<f32>| {
                let mut scorer = backbone.raw_scorer(&runtime, channels, &[]).unwrap();
                let features = scorer.features(tile.view()).unwrap();
                features.view().to_owned()
            };
            let expected = features(Channels::Rgb, &rgb);
            let found = features(Channels::Grey, &grey);
            let scale = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5 * scale, "{mode}");
            }
        }
    }

    /// Noise around one, as evened cloth is.
    fn noise(planes: usize) -> Array3<f32> {
        let mut state = 0x5e1_u64;
        Array3::from_shape_simple_fn((planes, 64, 96), || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            0.5 + (state >> 40) as f32 / (1_u64 << 24) as f32
        })
    }

    /// Two filters that sum to zero and are the same in no direction.
    fn filters() -> [Array2<f32>; 2] {
        [3, 7].map(|n| {
            let mut filter = Array2::from_shape_fn((SIDE, SIDE), |(row, col)| {
                ((n * row + 5 * col + row * col) % 11) as f32 / 11.0
            });
            filter -= filter.mean().unwrap();
            filter
        })
    }

    /// The largest squared response of `filter` within the cell at `row`, `col`, summed up plainly.
    fn plain(texels: &Array2<f64>, filter: &Array2<f32>, row: usize, col: usize) -> f64 {
        let responses = (0..2).flat_map(|down| (0..2).map(move |right| (down, right)));
        let squares = responses.map(|(down, right)| {
            let first = [2 * row + down, 2 * col + right].map(|at| at - SIDE / 2);
            let seen = texels.slice(s![first[0].., first[1]..]);
            let seen = seen.slice(s![..SIDE, ..SIDE]);
            let products = seen.iter().zip(filter);
            let response: f64 = products.map(|(texel, w)| texel * f64::from(*w)).sum();
            response * response
        });
        squares.fold(0.0, f64::max)
    }

    #[test]
    fn spots_are_the_squared_correlation_with_their_filter_at_its_largest_in_a_cell() {
        let Some((runtime, backbone)) = installed(Mode::Fast) else {
            return;
        };
        for channels in [Channels::Grey, Channels::Rgb] {
            let tile = noise(channels.n_planes());
            let filters = filters();
            let mut scorer = backbone.raw_scorer(&runtime, channels, &filters).unwrap();
            let found = scorer.features(tile.view()).unwrap();
            assert_eq!(found.n_fine(), filters.len());
            let grey = tile.mapv(f64::from).mean_axis(Axis(0)).unwrap();
            let texels = Array2::from_shape_fn((32, 48), |(row, col)| {
                let texel = s![2 * row..2 * row + 2, 2 * col..2 * col + 2];
                grey.slice(texel).mean().unwrap()
            });
            // A filter at a cell beside the tile's border would reach beyond it.
            let beside = SIDE.div_ceil(4);
            for (n, filter) in filters.iter().enumerate() {
                let fine = found.fine(n);
                assert_eq!(fine.dim(), (16, 24));
                for row in beside..16 - beside {
                    for col in beside..24 - beside {
                        let expected = plain(&texels, filter, row, col);
                        let found = f64::from(fine[[row, col]]);
                        assert!(
                            (found - expected).abs() < 1e-4 * expected.max(1.0),
                            "{channels:?}, filter {n} at {row}, {col}: {found}, not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_mode_that_is_not_installed_says_how_to_install_it() {
        let missing = ModelError::NoBackbone {
            mode: Mode::Quality,
            path: "zoo/resnet18.onnx".into(),
            command: Mode::Quality.install_command(),
        };
        assert_eq!(
            missing.to_string(),
            "mode quality needs a network that is not installed: found no \"zoo/resnet18.onnx\"; run `make quality`"
        );
    }
}

//! Spots: matched filters that know the cloth's own grain.
//!
//! ```text
//! pixels ─▶ mean of colours ─▶ texels (2 × 2 px) − 1 ─▶ 15 × 15 filters ─▶ squared ─▶ largest in a cell
//! ```
//!
//! The best linear detector of a known shape `t` in a stationary grain of covariance `C` is the
//! filter `C⁻¹ t` (Turin, "An Introduction to Matched Filters", IRE Trans. Inf. Theory 6, 1960):
//! what good cloth does all the time, such as its weave, weighs nothing. The shapes are small round
//! spots, because a network's features lose what is smaller than a few of its pixels. A filter sums
//! to zero, so brightness does not count, and its response to good cloth has variance one.
//!
//! Alone, on three plain weaves of AITEX, the two spots reach a strip AUROC of 0.98, the network
//! 0.94 and both 0.99. Filters of 11 texels lost 0.02 and 21 gained nothing; lines of 2 × 6 px found no more
//! than the spots and the network together.

use ndarray::{Array1, Array2, Array4, s};

use crate::CELL_PX;
use crate::onnx::graph::{Dim, Graph, Window, int, ints};

/// Side of a texel, in pixels. Finer ones see the sensor more than the cloth.
pub(crate) const TEXEL_PX: usize = 2;
/// Side of a filter, in texels.
pub(crate) const SIDE: usize = 15;
/// Texels of a cell along one side.
pub(crate) const IN_CELL: usize = CELL_PX / TEXEL_PX;
/// Texels of a cell.
pub(crate) const N_PHASES: usize = IN_CELL * IN_CELL;
/// Standard deviations of the spots, in pixels.
pub(crate) const SIGMAS_PX: [f32; 2] = [2.0, 3.0];

/// The network's output beside `features`.
pub(crate) const FINE: &str = "fine";

/// Makes [`FINE`] of the `n_planes` of the value `pixels`: the largest squared response of each of
/// `filters`, `[SIDE, SIDE]`, within each cell. Without filters, the texels of each cell, row by row.
pub(crate) fn put(graph: &mut Graph, pixels: &str, n_planes: usize, filters: &[Array2<f32>]) {
    let n_fine = if filters.is_empty() {
        let mut one = Array2::zeros((SIDE, SIDE));
        one[[SIDE / 2, SIDE / 2]] = 1.0;
        let texels = add_responses(graph, pixels, n_planes, &[one]);
        graph.rename(&texels, FINE);
        N_PHASES
    } else {
        add_spots(graph, pixels, n_planes, filters);
        filters.len()
    };
    let [n, rows, cols] = ["n", "h/4", "w/4"].map(Dim::Named);
    graph.output(FINE, &[n, Dim::Fixed(n_fine as i64), rows, cols]);
}

fn add_spots(graph: &mut Graph, pixels: &str, n_planes: usize, filters: &[Array2<f32>]) {
    let responses = add_responses(graph, pixels, n_planes, filters);
    let squares = "spots.squares";
    let both = [responses.as_str(), responses.as_str()];
    graph.node(squares, "Mul", &both, &[squares], Vec::new());
    let phases: Vec<String> = (0..N_PHASES).map(|n| format!("spots.phase{n}")).collect();
    let names: Vec<&str> = phases.iter().map(String::as_str).collect();
    let by_planes = vec![int("axis", 1)];
    graph.node("spots.split", "Split", &[squares], &names, by_planes);
    graph.node(FINE, "Max", &names, &[FINE], Vec::new());
}

/// Responses of `filters` at each texel of a cell, `[n, 4 × filters, h/4, w/4]`: all filters at the
/// cell's first texel, then at its second. One convolution with a step of a cell does it, because a
/// convolution with few outputs costs as much as one with sixteen.
fn add_responses(
    graph: &mut Graph,
    pixels: &str,
    n_planes: usize,
    filters: &[Array2<f32>],
) -> String {
    let mut grey = pixels.to_owned();
    if n_planes > 1 {
        let attributes = vec![ints("axes", &[1]), int("keepdims", 1)];
        graph.node(
            "spots.grey",
            "ReduceMean",
            &[pixels],
            &["spots.grey"],
            attributes,
        );
        grey = "spots.grey".to_owned();
    }
    let texel = [TEXEL_PX as i64; 2];
    let attributes = vec![ints("kernel_shape", &texel), ints("strides", &texel)];
    graph.node(
        "spots.texels",
        "AveragePool",
        &[&grey],
        &["spots.texels"],
        attributes,
    );
    // Evened cloth is around one. Taken off, what a convolution finds beyond a tile is usual cloth, and
    // a filter that sums to zero keeps its digits.
    let one = graph.constant("spots.one", ndarray::arr1(&[1.0_f32]).view());
    graph.node(
        "spots.around_zero",
        "Sub",
        &["spots.texels", &one],
        &["spots.around_zero"],
        Vec::new(),
    );
    let full = SIDE + IN_CELL - 1;
    let mut weights = Array4::zeros((N_PHASES * filters.len(), 1, full, full));
    for phase in 0..N_PHASES {
        let (down, right) = (phase / IN_CELL, phase % IN_CELL);
        for (n, filter) in filters.iter().enumerate() {
            let kernel = s![
                phase * filters.len() + n,
                0,
                down..down + SIDE,
                right..right + SIDE
            ];
            weights.slice_mut(kernel).assign(filter);
        }
    }
    let bias = Array1::zeros(N_PHASES * filters.len());
    let window = Window {
        stride: IN_CELL as i64,
        pads: [(SIDE / 2) as i64; 4],
        group: 1,
    };
    graph.conv(
        "spots.responses",
        "spots.around_zero",
        weights.view(),
        bias.view(),
        window,
    )
}

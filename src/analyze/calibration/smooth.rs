//! Smooth ECE (Błasiok & Nakkiran 2023, arXiv:2309.12236), to the numerics of the authors' relplot 1.0.3.

use super::details::Group;

/// Finest bandwidth considered.
const FINEST: f64 = 0.001;

/// Smooth ECE at the bandwidth that is the calibration error itself: the fixed point of σ = smECE(σ), found by ten
/// halvings of 0 to 1.
pub(super) fn smooth_ece(groups: &[Group]) -> f64 {
    let too_fine = |sigma: f64| sigma >= FINEST && sigma >= smooth_ece_at(groups, sigma);
    let (mut above, mut below) = (1.0, 0.0);
    if too_fine(above) {
        for _ in 0..10 {
            let middle = 0.5 * (above + below);
            *(if too_fine(middle) { &mut above } else { &mut below }) = middle;
        }
    }
    smooth_ece_at(groups, above)
}

/// Smooth ECE at bandwidth `sigma`: residuals p − y and the density of p, both smoothed by a normal kernel that is
/// reflected at 0 and 1; the answer is Σ |residual| / Σ density over an even mesh.
pub(super) fn smooth_ece_at(groups: &[Group], sigma: f64) -> f64 {
    let cells = ((20.0 / sigma).round() as usize).max(2000) / 2;
    let points = ((10.0 / sigma).round() as usize).max(200);
    let kernel: Vec<f64> = (0..=cells / 2).map(|i| (-0.5 * (i as f64 / cells as f64 / sigma).powi(2)).exp()).collect();
    // What lies farther out adds less than rounding does.
    let reach = kernel.iter().position(|&weight| weight < 1e-18).unwrap_or(kernel.len());
    let scale = 1.0 / ((2.0 * std::f64::consts::PI).sqrt() * sigma);
    let mesh = Mesh { cells, kernel: &kernel[..reach], values: spread(groups, cells) };

    let (mut error, mut density) = (0.0, 0.0);
    for point in 0..points {
        let at = point as f64 / (points - 1) as f64 * cells as f64;
        let cell = (at as usize).min(cells - 1);
        let (low, high) = (mesh.smoothed(cell), mesh.smoothed(cell + 1));
        let between = |i: usize| scale * (low[i] + (high[i] - low[i]) * (at - cell as f64));
        error += between(0).abs();
        density += between(1) + 1e-4;
    }
    error / density
}

/// Residuals and claims, each shared out between the two nearest of `cells` + 1 even positions.
fn spread(groups: &[Group], cells: usize) -> Vec<[f64; 2]> {
    let mut values = vec![[0.0; 2]; cells + 1];
    for group in groups {
        let at = group.confidence * cells as f64;
        let cell = (at as usize).min(cells - 1);
        let share = at - cell as f64;
        let residual = group.claims * group.confidence - group.right;
        for (cell, share) in [(cell, 1.0 - share), (cell + 1, share)] {
            values[cell][0] += share * residual;
            values[cell][1] += share * group.claims;
        }
    }
    values
}

struct Mesh<'a> {
    cells: usize,
    /// One side of the kernel, from its middle out.
    kernel: &'a [f64],
    values: Vec<[f64; 2]>,
}

impl Mesh<'_> {
    /// Both values smoothed at a position. Beyond the ends the values are mirrored, the ends themselves are not doubled.
    fn smoothed(&self, at: usize) -> [f64; 2] {
        let mirrored = |i: isize| {
            let i = i.unsigned_abs();
            self.values[if i > self.cells { 2 * self.cells - i } else { i }]
        };
        let at = at as isize;
        let add = |sum: [f64; 2], weight: f64, v: [f64; 2]| [sum[0] + weight * v[0], sum[1] + weight * v[1]];
        self.kernel.iter().enumerate().fold([0.0; 2], |sum, (i, &weight)| match i as isize {
            0 => add(sum, weight, mirrored(at)),
            i => add(add(sum, weight, mirrored(at - i)), weight, mirrored(at + i)),
        })
    }
}

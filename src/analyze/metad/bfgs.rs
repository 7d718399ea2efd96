//! Minimisation by BFGS (Nocedal & Wright, Numerical Optimization, algorithm 6.1) with a backtracking line search.

/// Where the search ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The point.
    pub at: Vec<f64>,
    /// The function there.
    pub value: f64,
}

const MAX_ITERATIONS: usize = 300;
const MAX_HALVINGS: usize = 60;
/// Largest change of a parameter in one step: the parameters are d′ units and logarithms, so this is far.
const MAX_STEP: f64 = 2.0;

/// Minimises `function`, which writes its gradient into its second argument and may answer infinity or NaN where it is
/// not defined. `tolerance` bounds the largest component of the gradient at the end; where rounding keeps the search
/// from that, a hundredfold of it does.
///
/// `None` when the start is not in the domain, or when no such point was found within 300 iterations.
pub fn minimise(
    start: Vec<f64>,
    tolerance: f64,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Option<Minimum> {
    let n = start.len();
    let (mut x, mut gradient) = (start, vec![0.0; n]);
    let mut value = function(&x, &mut gradient);
    let (mut next, mut next_gradient, mut direction) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let (mut step, mut change, mut product) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let mut inverse = Inverse::identity(n);
    let mut restarted = false;

    for _ in 0..MAX_ITERATIONS {
        let size = largest(&gradient);
        if !(value.is_finite() && size.is_finite()) {
            return None;
        }
        if size <= tolerance {
            return Some(Minimum { at: x, value });
        }
        inverse.times(&gradient, &mut direction);
        direction.iter_mut().for_each(|d| *d = -*d);
        let slope = dot(&direction, &gradient);
        let mut length = (MAX_STEP / largest(&direction)).min(1.0);
        let found = slope < 0.0
            && (0..MAX_HALVINGS).any(|_| {
                for i in 0..n {
                    next[i] = x[i] + length * direction[i];
                }
                let candidate = function(&next, &mut next_gradient);
                // The function's own rounding must not stop the last steps: there the gradient decides.
                let noise = 4.0 * f64::EPSILON * value.abs();
                let fell = candidate <= value + 1e-4 * length * slope
                    || (candidate <= value + noise && largest(&next_gradient) < 0.5 * size);
                if fell {
                    value = candidate;
                } else {
                    length *= 0.5;
                }
                fell
            });
        if !found {
            if restarted {
                break;
            }
            inverse = Inverse::identity(n);
            restarted = true;
            continue;
        }
        restarted = false;
        for i in 0..n {
            step[i] = next[i] - x[i];
            change[i] = next_gradient[i] - gradient[i];
        }
        inverse.update(&step, &change, &mut product);
        std::mem::swap(&mut x, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
    }
    // Parameters of very different scale can keep the gradient's own rounding above the tolerance.
    (value.is_finite() && largest(&gradient) <= 100.0 * tolerance).then_some(Minimum { at: x, value })
}

/// The approximation of the inverse Hessian.
struct Inverse {
    n: usize,
    rows: Vec<f64>,
    fresh: bool,
}

impl Inverse {
    fn identity(n: usize) -> Self {
        let mut rows = vec![0.0; n * n];
        rows.iter_mut().step_by(n + 1).for_each(|diagonal| *diagonal = 1.0);
        Self { n, rows, fresh: true }
    }

    fn times(&self, vector: &[f64], out: &mut [f64]) {
        for (row, out) in self.rows.chunks_exact(self.n).zip(out) {
            *out = dot(row, vector);
        }
    }

    /// Learns from a step and the change of the gradient over it; `product` is scratch space.
    fn update(&mut self, step: &[f64], change: &[f64], product: &mut [f64]) {
        let curvature = dot(step, change);
        // Without positive curvature the update would lose positive definiteness: skip it.
        if curvature <= 1e-12 * (dot(step, step) * dot(change, change)).sqrt() {
            return;
        }
        if self.fresh {
            let scale = curvature / dot(change, change);
            self.rows.iter_mut().for_each(|entry| *entry *= scale);
            self.fresh = false;
        }
        self.times(change, product);
        let factor = (1.0 + dot(change, product) / curvature) / curvature;
        for i in 0..self.n {
            for j in 0..self.n {
                self.rows[i * self.n + j] +=
                    factor * step[i] * step[j] - (product[i] * step[j] + step[i] * product[j]) / curvature;
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest component, NaN if any is.
fn largest(vector: &[f64]) -> f64 {
    vector.iter().fold(0.0, |most, v| if v.is_nan() || v.abs() > most { v.abs() } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_rosenbrocks_valley() {
        let found = minimise(vec![-1.2, 1.0], 1e-9, |x, g| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        })
        .unwrap();
        assert!(found.at.iter().all(|x| (x - 1.0).abs() < 1e-8), "{found:?}");
    }

    #[test]
    fn gives_up_where_there_is_no_bottom() {
        let slide = |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0;
            x[0]
        };
        assert!(minimise(vec![0.0], 1e-9, slide).is_none());
        assert!(minimise(vec![0.0], 1e-9, |_, _| f64::NAN).is_none());
        let nan_gradient = |x: &[f64], g: &mut [f64]| {
            g[0] = f64::NAN;
            x[0]
        };
        assert!(minimise(vec![0.0], 1e-9, nan_gradient).is_none());
    }
}

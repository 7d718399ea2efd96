//! The fit for small samples.

use super::model::{Table, by_log_gaps, edges};
use super::{Fit, absolute, bfgs, normal, start, type_one, well_formed};

/// Prior precisions of HMeta-d's single-subject model (Fleming 2017, Neuroscience of Consciousness nix007;
/// `Bayes_metad.txt`): c ~ N(0, 1/2), d′ ~ N(0, 2), meta-d′ ~ N(d′, 2), each type-2 criterion ~ N(0, 1/2) beyond c.
const C_PRECISION: f64 = 2.0;
const D_PRECISION: f64 = 0.5;
const META_PRECISION: f64 = 0.5;
const CRITERION_PRECISION: f64 = 2.0;

/// Regularised fit of meta-d′ to counts per outcome (not padded), each from "will fail, sure" to "will succeed, sure".
///
/// The mode of the posterior of HMeta-d's single-subject model over d′, c, meta-d′ and the logarithms of the gaps
/// between the ordered type-2 criteria. As in that model, the type-1 counts are binomial, and the type-1 criterion of
/// the ratings is c itself, not meta-d′·c/d′ as in [`super::fit`]; the criteria's priors are truncated at c. Few counts
/// pull meta-d′ towards d′, and d′ towards 0.
///
/// `None` for malformed counts.
pub fn fit_regularised(failed: &[f64], succeeded: &[f64]) -> Option<Fit> {
    if !well_formed(failed, succeeded) {
        return None;
    }
    let gaps = failed.len() / 2 - 1;
    let table = Table::new(failed, succeeded);
    let total: f64 = failed.iter().chain(succeeded).sum();
    let responses = Responses::new(failed, succeeded);

    let padded = |counts: &[f64]| -> Vec<f64> { counts.iter().map(|count| count + 0.125).collect() };
    let (failed, succeeded) = (padded(failed), padded(succeeded));
    let first = type_one(&failed, &succeeded)?;
    // From meta-d′ = 0 every likelihood is finite, however extreme the counts.
    let mut from = start(&failed, &succeeded, 0.0, first.c);
    from.splice(0..0, [first.d, first.c]);

    let (mut low, mut high) = (vec![0.0; gaps], vec![0.0; gaps]);
    let (mut by_low, mut by_high) = (vec![0.0; gaps], vec![0.0; gaps]);
    let negative = |x: &[f64], gradient: &mut [f64]| {
        let (&[d, c, meta_d, ref logs @ ..], [by_d, by_c, by_meta_d, by_logs @ ..]) = (x, &mut *gradient) else {
            return f64::NAN;
        };
        let (low_logs, high_logs) = logs.split_at(gaps);
        edges(low_logs, &mut low);
        edges(high_logs, &mut high);
        by_low.fill(0.0);
        by_high.fill(0.0);
        let means = (-0.5 * meta_d - c, 0.5 * meta_d - c);
        let (ratings, by_failed, by_succeeded) =
            table.log_likelihood(means, (&low, &high), (&mut by_low, &mut by_high));
        let (forecasts, forecasts_by_d, forecasts_by_c) = responses.log_likelihood(d, c);

        *by_d = forecasts_by_d - D_PRECISION * d + META_PRECISION * (meta_d - d);
        *by_c = forecasts_by_c - by_failed - by_succeeded - C_PRECISION * c;
        *by_meta_d = 0.5 * (by_succeeded - by_failed) - META_PRECISION * (meta_d - d);
        let mut value = ratings + forecasts
            - 0.5 * (D_PRECISION * d * d + C_PRECISION * c * c + META_PRECISION * (meta_d - d).powi(2));
        for (sign, edges, by_edges) in [(-1.0, &low, &mut by_low), (1.0, &high, &mut by_high)] {
            let (log_prior, prior_by_c) = criteria_prior(sign, c, edges, by_edges);
            value += log_prior;
            *by_c += prior_by_c;
        }
        let (by_low_logs, by_high_logs) = by_logs.split_at_mut(gaps);
        by_log_gaps(low_logs, &by_low, by_low_logs);
        by_log_gaps(high_logs, &by_high, by_high_logs);
        // The density of the logarithms, not of the criteria themselves: it has its mode inside, even where a rating
        // was never given.
        value += logs.iter().sum::<f64>();
        by_logs.iter_mut().for_each(|by| *by += 1.0);
        gradient.iter_mut().for_each(|by| *by = -*by);
        -value
    };
    let found = bfgs::minimise(from, 1e-9 * total.max(1.0), negative)?;

    let &[d, c, meta_d, ref logs @ ..] = found.at.as_slice() else { return None };
    edges(logs.get(..gaps)?, &mut low);
    edges(logs.get(gaps..)?, &mut high);
    let (log_likelihood, ..) =
        table.log_likelihood((-0.5 * meta_d - c, 0.5 * meta_d - c), (&low, &high), (&mut by_low, &mut by_high));
    let fit = Fit { d, c, meta_d, criteria: absolute(c, &low, &high), log_likelihood };
    [d, c, meta_d].iter().chain(&fit.criteria).all(|x| x.is_finite()).then_some(fit)
}

/// Log-prior of the criteria on one side (`sign` −1 below c, 1 above), which lie at c + sign·edge, each normal and cut
/// off at c. Adds the derivatives by the edges, answers (value, derivative by c).
fn criteria_prior(sign: f64, c: f64, edges: &[f64], by_edges: &mut [f64]) -> (f64, f64) {
    let root = CRITERION_PRECISION.sqrt();
    // The mass that is left beyond c, and its derivative by c.
    let left = normal::upper(sign * c * root);
    let by_cut = -sign * root * normal::pdf(c * root) / left;
    edges.iter().zip(by_edges).fold((0.0, 0.0), |(value, by_c), (edge, by_edge)| {
        let at = c + sign * edge;
        *by_edge -= sign * CRITERION_PRECISION * at;
        (value - 0.5 * CRITERION_PRECISION * at * at - left.ln(), by_c - CRITERION_PRECISION * at - by_cut)
    })
}

/// Forecasts per outcome.
struct Responses {
    hits: f64,
    misses: f64,
    alarms: f64,
    rejections: f64,
}

impl Responses {
    fn new(failed: &[f64], succeeded: &[f64]) -> Self {
        let split = |counts: &[f64]| {
            let (low, high) = counts.split_at(counts.len() / 2);
            (low.iter().sum::<f64>(), high.iter().sum::<f64>())
        };
        let ((rejections, alarms), (misses, hits)) = (split(failed), split(succeeded));
        Self { hits, misses, alarms, rejections }
    }

    /// Binomial log-likelihood (without its constant) of P(hit) = Φ(d/2 − c) and P(false alarm) = Φ(−d/2 − c), and its
    /// derivatives by d and c.
    fn log_likelihood(&self, d: f64, c: f64) -> (f64, f64, f64) {
        let term = |yes: f64, no: f64, z: f64| {
            let (p, q, density) = (normal::cdf(z), normal::upper(z), normal::pdf(z));
            let part = |n: f64, p: f64| if n > 0.0 { (n * p.ln(), n * density / p) } else { (0.0, 0.0) };
            let ((a, by_a), (b, by_b)) = (part(yes, p), part(no, q));
            (a + b, by_a - by_b)
        };
        let (hit, by_hit) = term(self.hits, self.misses, 0.5 * d - c);
        let (alarm, by_alarm) = term(self.alarms, self.rejections, -0.5 * d - c);
        (hit + alarm, 0.5 * (by_hit - by_alarm), -by_hit - by_alarm)
    }
}

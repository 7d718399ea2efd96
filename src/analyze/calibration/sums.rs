//! Sums over the window in fixed point, so that they are exact however long it slides, and in whatever order.

use crate::analyze::ahead::fetch;

/// Bins of confidence, of equal width.
pub(super) const BINS: usize = 10;

const ONE: f64 = (1u64 << 48) as f64;

/// A number from 0 to 1 in units of 2⁻⁴⁸. Rounding costs 1.8e-15 at most; 65,535 of them fit into a sum.
fn fixed(x: f64) -> u64 {
    (x * ONE).round() as u64
}

/// A bin's number: `floor(10p)` with 1 in the last, after rounding p to 9 decimals, so that a 0.7 that a division
/// left a hair short of 0.7 falls where it is meant to.
pub(super) fn bin(confidence: f64) -> usize {
    let billionths = (confidence * 1e9).round() as usize;
    (billionths / (1_000_000_000 / BINS)).min(BINS - 1)
}

/// What is known of the claims of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bin {
    claims: u32,
    right: u32,
    confidence: u64,
    confidence_of_right: u64,
    squares: u64,
}

impl Bin {
    fn add(&mut self, confidence: f64, correct: bool) {
        self.claims += 1;
        self.confidence += fixed(confidence);
        self.squares += fixed(confidence * confidence);
        if correct {
            self.right += 1;
            self.confidence_of_right += fixed(confidence);
        }
    }

    fn remove(&mut self, confidence: f64, correct: bool) {
        self.claims -= 1;
        self.confidence -= fixed(confidence);
        self.squares -= fixed(confidence * confidence);
        if correct {
            self.right -= 1;
            self.confidence_of_right -= fixed(confidence);
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            claims: self.claims + other.claims,
            right: self.right + other.right,
            confidence: self.confidence + other.confidence,
            confidence_of_right: self.confidence_of_right + other.confidence_of_right,
            squares: self.squares + other.squares,
        }
    }

    /// How many claims.
    pub fn claims(&self) -> f64 {
        f64::from(self.claims)
    }

    /// How many of them were right.
    pub fn right(&self) -> f64 {
        f64::from(self.right)
    }

    /// Σ p.
    pub fn confidence(&self) -> f64 {
        self.confidence as f64 / ONE
    }

    /// Σ p over those that were right.
    pub fn confidence_of_right(&self) -> f64 {
        self.confidence_of_right as f64 / ONE
    }

    /// Σ p².
    pub fn squares(&self) -> f64 {
        self.squares as f64 / ONE
    }
}

/// The sums of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    bins: [Bin; BINS],
    /// Σ (p − y)⁴, for the variance of the Brier score.
    fourth: u64,
}

impl Sums {
    /// Adds a claim.
    pub fn add(&mut self, confidence: f64, correct: bool) {
        self.bins[bin(confidence)].add(confidence, correct);
        self.fourth += fixed(miss(confidence, correct).powi(4));
    }

    /// See [`crate::analyze::ahead`].
    pub fn ahead(&self) {
        self.bins.iter().for_each(|bin| fetch(Some(bin)));
    }

    /// Removes a claim that was added.
    pub fn remove(&mut self, confidence: f64, correct: bool) {
        self.bins[bin(confidence)].remove(confidence, correct);
        self.fourth -= fixed(miss(confidence, correct).powi(4));
    }

    /// The bins that hold a claim.
    pub fn bins(&self) -> impl Iterator<Item = &Bin> {
        self.bins.iter().filter(|bin| bin.claims > 0)
    }

    /// All bins, from the least sure to the surest.
    pub fn every_bin(&self) -> [Bin; BINS] {
        self.bins
    }

    /// All bins together.
    pub fn all(&self) -> Bin {
        self.bins.iter().fold(Bin::default(), Bin::plus)
    }

    /// Σ (p − y)⁴.
    pub fn fourth(&self) -> f64 {
        self.fourth as f64 / ONE
    }
}

fn miss(confidence: f64, correct: bool) -> f64 {
    confidence - if correct { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_take_their_lower_edge_whatever_way_it_was_computed() {
        for k in 0..10 {
            let edge = f64::from(k) / 10.0;
            assert_eq!(bin(edge), k as usize);
            assert_eq!(bin(f64::from(k) * 0.1), k as usize);
            assert_eq!(bin(1.0 - f64::from(10 - k) * 0.1), k as usize);
        }
        assert_eq!((bin(1.0), bin(0.999_999_999_9), bin(0.699_999_998), bin(0.699_999_999_7)), (9, 9, 6, 7));
    }
}

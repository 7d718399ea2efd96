//! Claims counted per class of tasks, and metacognitive sensitivity from these counts.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::analyze::ahead::fetch;
use crate::analyze::metad::{self, Counts, Fit, RATINGS};
use crate::domain::TaskKey;

/// Most classes of tasks told apart at a time, the claims without a class being one of them.
const MAX: usize = 16;

/// Number of the stratum of all claims whose class found no room.
pub(super) const MIXED: u8 = 0;

#[derive(Clone, Copy, Debug)]
struct Stratum {
    task: Option<TaskKey>,
    /// Claims that refer to it, waiting and resolved. Unused strata are given to other classes.
    claims: u32,
    counts: [[u16; 2 * RATINGS]; 2],
}

/// The strata of an agent; the first is [`MIXED`].
#[derive(Clone, Debug)]
pub(super) struct Strata(Vec<Stratum>);

impl Default for Strata {
    fn default() -> Self {
        Self(vec![Stratum { task: None, claims: 0, counts: Default::default() }])
    }
}

impl Strata {
    /// The stratum of a new claim.
    pub fn enter(&mut self, task: Option<TaskKey>) -> u8 {
        let named = || self.0.iter().enumerate().skip(1);
        let known = named().find(|(_, stratum)| stratum.claims > 0 && stratum.task == task);
        let found = known.or_else(|| named().find(|(_, stratum)| stratum.claims == 0)).map(|(i, _)| i);
        let number = found.unwrap_or(if self.0.len() <= MAX { self.0.len() } else { usize::from(MIXED) });
        if number == self.0.len() {
            self.0.push(Stratum { task, claims: 0, counts: Default::default() });
        }
        let stratum = &mut self.0[number];
        stratum.claims += 1;
        if number != usize::from(MIXED) {
            stratum.task = task;
        }
        number as u8
    }

    /// See [`crate::analyze::ahead`].
    pub fn ahead(&self) {
        for stratum in self.0.iter().take(2) {
            fetch(Some(&stratum.claims));
            fetch(stratum.counts.last());
        }
    }

    /// A claim whose class is not known any more.
    pub fn enter_mixed(&mut self) -> u8 {
        self.0[usize::from(MIXED)].claims += 1;
        MIXED
    }

    /// A claim is gone that [`Self::enter`] let in.
    pub fn leave(&mut self, number: u8) {
        self.0[usize::from(number)].claims -= 1;
    }

    /// Counts a resolved claim.
    pub fn add(&mut self, number: u8, confidence: f64, correct: bool) {
        self.0[usize::from(number)].counts[usize::from(correct)][Counts::bin(confidence)] += 1;
    }

    /// Takes a resolved claim from the counts.
    pub fn remove(&mut self, number: u8, confidence: f64, correct: bool) {
        self.0[usize::from(number)].counts[usize::from(correct)][Counts::bin(confidence)] -= 1;
    }

    /// The class of a stratum: `None` for [`MIXED`], `Some(None)` for the claims without a class.
    pub fn task(&self, number: u8) -> Option<Option<TaskKey>> {
        if number == MIXED { None } else { self.0.get(usize::from(number)).map(|stratum| stratum.task) }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Stratum>()
    }

    /// All claims counted together.
    pub fn pooled(&self) -> Counts {
        self.counts().fold(Counts::default(), |mut sum, counts| {
            let cells = |counts: Counts| counts.failed.into_iter().chain(counts.succeeded);
            let into = sum.failed.iter_mut().chain(&mut sum.succeeded);
            into.zip(cells(counts)).for_each(|(cell, count)| *cell += count);
            sum
        })
    }

    fn counts(&self) -> impl Iterator<Item = Counts> + '_ {
        self.0.iter().map(|stratum| {
            let [failed, succeeded] = stratum.counts.map(|counts| counts.map(u32::from));
            Counts { failed, succeeded }
        })
    }

    /// Fits meta-d′, per class where the claims name several and enough of them can be told apart.
    pub fn fit(&self, config: &Config) -> Option<Sensitivity> {
        let pooled = self.pooled();
        let classes = self.counts().filter(|counts| counts.total() > 0).count();
        let usable = |counts: &Counts| counts.total() >= config.stratum_minimum as u64 && counts.informative();
        let named = self.0.iter().zip(self.counts()).skip(1).filter(|(_, counts)| usable(counts));
        let mut strata: Vec<_> = named.map(|(stratum, counts)| (stratum.task, counts)).collect();
        // By key, so that the sum does not depend on which class came first.
        strata.sort_unstable_by_key(|(task, _)| *task);
        let strata: Vec<Counts> = strata.into_iter().map(|(_, counts)| counts).collect();
        let covered: u64 = strata.iter().map(Counts::total).sum();
        if classes > 1 && 2 * covered >= pooled.total() {
            let plain = |counts: &Counts| {
                let enough = counts.total() >= config.sensitivity_minimum as u64;
                if enough { counts.fit() } else { None }.or_else(|| counts.fit_regularised())
            };
            Sensitivity::averaged(&strata, plain)
        } else {
            Sensitivity::pooled(&pooled)
        }
    }
}

/// Metacognitive sensitivity of the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Claims that it rests on.
    pub n: u64,
    /// Classes of tasks fitted apart; 0 when all claims were taken together.
    pub strata: u8,
    /// d′: how well forecasts separate what succeeds from what fails.
    #[serde(with = "super::saved::bits")]
    pub d: f64,
    /// Criterion c: positive when success is forecast with reluctance.
    #[serde(with = "super::saved::bits")]
    pub c: f64,
    /// meta-d′: the same as told by how sure the forecasts were.
    #[serde(with = "super::saved::maybe_bits")]
    pub meta_d: Option<f64>,
    /// meta-d′ under the priors of HMeta-d's single-subject model: the better one below some 200 claims.
    #[serde(with = "super::saved::maybe_bits")]
    pub meta_d_regularised: Option<f64>,
    /// d′ under the same priors.
    #[serde(with = "super::saved::maybe_bits")]
    pub d_regularised: Option<f64>,
}

impl Sensitivity {
    /// M-ratio = meta-d′ / d′; absent where |d′| < 0.1.
    pub fn m_ratio(&self) -> Option<f64> {
        metad::ratio(self.meta_d?, self.d)
    }

    /// M-difference = meta-d′ − d′.
    pub fn m_diff(&self) -> Option<f64> {
        Some(self.meta_d? - self.d)
    }

    /// M-ratio of the regularised fit; absent where its |d′| < 0.1.
    pub fn m_ratio_regularised(&self) -> Option<f64> {
        metad::ratio(self.meta_d_regularised?, self.d_regularised?)
    }

    fn pooled(counts: &Counts) -> Option<Self> {
        let (fit, regularised) = (counts.fit(), counts.fit_regularised());
        // Where the likelihood has no maximum there are d′ and c still.
        let type_one = counts.type_one()?;
        Some(Self {
            n: counts.total(),
            strata: 0,
            d: type_one.d,
            c: type_one.c,
            meta_d: fit.map(|fit| fit.meta_d),
            meta_d_regularised: regularised.as_ref().map(|fit| fit.meta_d),
            d_regularised: regularised.map(|fit| fit.d),
        })
    }

    /// Averages over strata, weighted by their claims. M-ratio is the ratio of these averages (the combined ratio
    /// estimator of stratified sampling): where all strata share one M-ratio it is that, whatever their d′, and one
    /// stratum with d′ near 0 does not upset it.
    fn averaged(strata: &[Counts], plain: impl Fn(&Counts) -> Option<Fit>) -> Option<Self> {
        let average = |fit: &dyn Fn(&Counts) -> Option<Fit>| {
            let (mut n, mut fitted, mut sums) = (0, 0, [0.0; 3]);
            for (counts, fit) in strata.iter().filter_map(|counts| Some((counts, fit(counts)?))) {
                n += counts.total();
                fitted += 1;
                let weighted = [fit.d, fit.c, fit.meta_d].map(|x| x * counts.total() as f64);
                sums.iter_mut().zip(weighted).for_each(|(sum, x)| *sum += x);
            }
            (n > 0).then(|| (n, fitted, sums.map(|sum| sum / n as f64)))
        };
        let (n, strata, [d, c, meta_d]) = average(&plain)?;
        let regularised = average(&Counts::fit_regularised).map(|(.., averages)| averages);
        Some(Self {
            n,
            strata,
            d,
            c,
            meta_d: Some(meta_d),
            meta_d_regularised: regularised.map(|[.., meta_d]| meta_d),
            d_regularised: regularised.map(|[d, ..]| d),
        })
    }
}

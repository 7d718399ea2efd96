use super::*;

const FRESH_CLAIM: Joined = Joined { claim: true, verdict: false, resolved: false };
const FRESH_VERDICT: Joined = Joined { claim: false, verdict: true, resolved: false };
const RESOLVED_BY_VERDICT: Joined = Joined { claim: false, verdict: true, resolved: true };
const RESOLVED_BY_CLAIM: Joined = Joined { claim: true, verdict: false, resolved: true };
const BOTH: Joined = Joined { claim: true, verdict: true, resolved: true };
const NOTHING: Joined = Joined { claim: false, verdict: false, resolved: false };

fn config() -> Config {
    Config { minimum: 1, ..Config::default() }
}

#[test]
fn in_any_order() {
    let (mut a, config) = (Calibration::default(), config());
    assert_eq!(a.claim(at(0), key(1), p(0.8), None, None, &config), FRESH_CLAIM);
    assert_eq!(a.verdict(at(1), key(1), true, &config), RESOLVED_BY_VERDICT);
    assert_eq!(a.verdict(at(2), key(2), false, &config), FRESH_VERDICT);
    assert_eq!(a.claim(at(3), key(2), p(0.4), None, None, &config), RESOLVED_BY_CLAIM);
    assert_eq!(a.claim(at(4), key(3), p(0.9), Some(true), None, &config), BOTH);
    check_against_batch(&a.figures(&config), &[(0.8, true), (0.4, false), (0.9, true)]);
    assert_eq!((a.pending(), a.expired(), a.duplicates()), (0, 0, 0));
}

#[test]
fn twice_counts_once_and_the_first_counts() {
    let (mut a, config) = (Calibration::default(), config());
    a.claim(at(0), key(1), p(0.8), None, None, &config);
    assert_eq!(a.claim(at(0), key(1), p(0.1), None, None, &config), NOTHING);
    assert_eq!(a.verdict(at(0), key(1), true, &config), RESOLVED_BY_VERDICT);
    assert_eq!(a.verdict(at(0), key(1), false, &config), NOTHING);
    assert_eq!(a.claim(at(0), key(1), p(0.1), Some(false), None, &config), NOTHING);
    assert_eq!(a.duplicates(), 3);

    assert_eq!(a.verdict(at(0), key(2), false, &config), FRESH_VERDICT);
    assert_eq!(a.verdict(at(0), key(2), true, &config), NOTHING);
    assert_eq!(
        a.claim(at(0), key(2), p(0.3), Some(true), None, &config),
        RESOLVED_BY_CLAIM,
        "the first verdict counts"
    );
    a.claim(at(0), key(3), p(0.6), None, None, &config);
    let again = a.claim(at(0), key(3), p(0.2), Some(true), None, &config);
    assert_eq!(again, RESOLVED_BY_VERDICT, "the first confidence counts");
    check_against_batch(&a.figures(&config), &[(0.8, true), (0.3, false), (0.6, true)]);
    assert_eq!((a.pending(), a.duplicates()), (0, 6));
}

#[test]
fn never_means_expired() {
    let (mut a, config) = (Calibration::default(), config());
    a.claim(at(0), key(1), p(0.8), None, Some(TaskKey::of("a")), &config);
    a.verdict(at(60), key(2), true, &config);
    assert_eq!(a.pending(), 2);
    a.claim(at(86_400), key(3), p(0.5), None, None, &config);
    assert_eq!((a.pending(), a.expired()), (3, 0), "a day is not yet too long");
    a.expire(at(86_401), &config);
    assert_eq!((a.pending(), a.expired()), (2, 1));
    // Too late: the verdict finds no claim.
    assert_eq!(a.verdict(at(86_500), key(1), true, &config), FRESH_VERDICT);
    assert_eq!((a.pending(), a.expired()), (2, 2));
    a.expire(at(1_000_000), &config);
    assert_eq!((a.pending(), a.expired(), a.figures(&config).n), (0, 4, 0));
}

#[test]
fn what_waits_is_bounded_and_the_oldest_gives_way() {
    let (mut a, config) = (Calibration::default(), config());
    for i in 0..3000 {
        a.claim(at(0), key(i), p(0.5), None, Some(TaskKey::of(&i.to_string())), &config);
    }
    assert_eq!((a.pending(), a.expired()), (512, 3000 - 512));
    assert_eq!(a.verdict(at(0), key(2999), true, &config), RESOLVED_BY_VERDICT);
    assert_eq!(a.verdict(at(0), key(2488), true, &config), RESOLVED_BY_VERDICT);
    assert_eq!(a.verdict(at(0), key(1975), true, &config), FRESH_VERDICT, "gave way");
    assert!(a.heap_bytes() < 64 * 1024, "{}", a.heap_bytes());
}

#[test]
fn an_id_is_free_again_once_its_claim_left_the_window() {
    let (mut a, config) = (Calibration::default(), Config { window: 3, minimum: 1, ..Config::default() });
    for i in 1..=3 {
        a.claim(at(0), key(i), p(0.5), Some(true), None, &config);
    }
    assert_eq!(a.claim(at(0), key(1), p(0.5), Some(true), None, &config), NOTHING);
    a.claim(at(0), key(4), p(0.5), Some(true), None, &config);
    assert_eq!(a.claim(at(0), key(1), p(0.7), Some(false), None, &config), BOTH);
    check_against_batch(&a.figures(&config), &[(0.5, true), (0.5, true), (0.7, false)]);
}

#[test]
fn a_smaller_window_after_a_restart_takes_hold() {
    let mut a = resolved((0..100).map(|i| (f64::from(i) / 100.0, i % 2 == 0)), &config());
    let small = Config { window: 10, ..config() };
    a.claim(at(0), key(100), p(1.0), Some(true), None, &small);
    let last: Vec<_> = (91..=100).map(|i| (f64::from(i) / 100.0, i % 2 == 0)).collect();
    check_against_batch(&a.figures(&small), &last);
}

#[test]
fn what_was_tampered_with_is_refused() {
    let mut a = resolved([(0.5, true), (0.6, false)], &config());
    a.verdict(at(0), key(9), true, &config());
    let good = serde_json::to_value(&a).unwrap();
    assert_eq!(serde_json::from_value::<Calibration>(good.clone()).unwrap(), a);
    for (pointer, value) in [
        ("/resolved/0/1", Value::from(f64::NAN.to_bits())),
        ("/resolved/0/1", Value::from(2.0f64.to_bits())),
        ("/resolved/1/0", Value::from(0)),
        ("/waiting/0/0", Value::from(1)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(serde_json::from_value::<Calibration>(bad).is_err(), "{pointer}");
    }
    assert_eq!(serde_json::from_str::<Calibration>("null").unwrap(), Calibration::default());
}

#[derive(Clone, Debug)]
enum Step {
    Claim(u64, u32, Option<bool>, u8),
    Verdict(u64, bool),
    Fit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..60u64, 0..=30u32, any::<Option<bool>>(), 0..24u8).prop_map(|(k, c, y, t)| Step::Claim(k, c, y, t)),
        4 => (0..60u64, any::<bool>()).prop_map(|(k, y)| Step::Verdict(k, y)),
        1 => Just(Step::Fit),
    ]
}

fn take(a: &mut Calibration, i: usize, step: &Step, config: &Config) -> Joined {
    match *step {
        Step::Claim(k, level, correct, task) => {
            let task = (task > 0).then(|| TaskKey::of(&task.to_string()));
            a.claim(at(i as i64), key(k), p(f64::from(level) / 30.0), correct, task, config)
        }
        Step::Verdict(k, correct) => a.verdict(at(i as i64), key(k), correct, config),
        Step::Fit => {
            a.fit(config);
            NOTHING
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Saved and read back in the middle of a stream, it goes on as if nothing had been.
    #[test]
    fn restored_goes_on_alike(steps in prop::collection::vec(step(), 1..300), cut in any::<prop::sample::Index>()) {
        let config = Config {
            window: 40, pending: 12, minimum: 2, sensitivity_minimum: 10, stratum_minimum: 4,
            expiry: Duration::from_secs(30), ..Config::default()
        };
        let mut whole = Calibration::default();
        let cut = cut.index(steps.len());
        for (i, step) in steps[..cut].iter().enumerate() {
            take(&mut whole, i, step, &config);
        }
        let text = serde_json::to_string(&whole).unwrap();
        let mut restored: Calibration = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&restored, &whole);
        for (i, step) in steps.iter().enumerate().skip(cut) {
            prop_assert_eq!(take(&mut restored, i, step, &config), take(&mut whole, i, step, &config));
            prop_assert_eq!(restored.figures(&config), whole.figures(&config));
            prop_assert_eq!(restored.needs_fit(&config), whole.needs_fit(&config));
        }
        prop_assert_eq!(&restored, &whole);
        prop_assert_eq!(restored.details(&config), whole.details(&config));
        whole.fit(&config);
        restored.fit(&config);
        prop_assert_eq!(restored, whole);
    }

    /// The order in which claims and verdicts arrive does not matter to the figures while none slides out.
    #[test]
    fn order_of_arrival_does_not_matter(
        claims in prop::collection::vec((0..=30u32, any::<bool>()), 1..60),
        order in prop::collection::vec(any::<u32>(), 120),
    ) {
        let config = Config { minimum: 1, sensitivity_minimum: 2, ..Config::default() };
        let steps: Vec<Step> = claims.iter().enumerate().flat_map(|(i, &(level, correct))| {
            [Step::Claim(i as u64, level, None, 0), Step::Verdict(i as u64, correct)]
        }).collect();
        let mut shuffled: Vec<usize> = (0..steps.len()).collect();
        shuffled.sort_by_key(|&i| order[i]);
        let (mut a, mut b) = (Calibration::default(), Calibration::default());
        steps.iter().for_each(|step| { take(&mut a, 0, step, &config); });
        shuffled.iter().for_each(|&i| { take(&mut b, 0, &steps[i], &config); });
        a.fit(&config);
        b.fit(&config);
        prop_assert_eq!(a.pending() + b.pending(), 0);
        prop_assert_eq!(a.figures(&config), b.figures(&config));
        prop_assert_eq!(a.details(&config), b.details(&config));
    }
}

use proptest::prelude::*;

use super::*;
use crate::domain::{AgentId, EvidenceValue, Source, ToolName};

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(1_000_000 + seconds))
}

fn observation(session: &str, at: Timestamp, kind: Kind) -> Observation {
    let agent = AgentId::new("a").unwrap();
    Observation { agent, session: SessionKey::of(session), id: None, at, source: Source::Native, kind }
}

fn report(at: Timestamp, done: f64, total: Option<f64>) -> Observation {
    observation("s", at, Kind::Progress { done, total })
}

fn act(session: &str, at: Timestamp) -> Observation {
    let tool = ToolName::new("ls").unwrap();
    observation(session, at, Kind::Action { tool, arguments: None, call: None })
}

/// Reports every `every` seconds, with acts each second between, up to `steps` of `total`. Returns the last moment.
fn work(progress: &mut Progress, from: u64, every: u64, steps: u64, total: Option<f64>) -> u64 {
    for step in 0..=steps {
        let now = from + step * every;
        progress.observe(&report(at(now), step as f64, total));
        if step < steps {
            (1..every).for_each(|second| progress.observe(&act("s", at(now + second))));
        }
    }
    from + steps * every
}

fn acts(progress: &mut Progress, from: u64, to: u64) {
    (from + 1..=to).for_each(|second| progress.observe(&act("s", at(second))));
}

fn raised(progress: &Progress, now: u64) -> Option<(Severity, Evidence)> {
    match progress.assess(InsightKind::Stalled, false, at(now), &Config::default()) {
        Assessment::Raise(severity, evidence) => Some((severity, evidence)),
        _ => None,
    }
}

#[test]
fn an_agent_that_never_reports_never_stalls() {
    let mut progress = Progress::default();
    acts(&mut progress, 0, 10_000);
    assert_eq!(progress.figures(), None);
    assert_eq!(raised(&progress, 10_000), None);
    assert_eq!(progress.next_due(at(10_000), &Config::default()), None);
    assert!(size_of::<Progress>() <= 24);
}

#[test]
fn rate_fraction_and_eta() {
    let mut progress = Progress::default();
    work(&mut progress, 0, 10, 30, Some(100.0));
    let figures = progress.figures().unwrap();
    assert_eq!((figures.done, figures.total, figures.fraction), (30.0, Some(100.0), Some(0.3)));
    assert!((figures.rate.unwrap() - 0.1).abs() < 1e-9);
    assert!((figures.eta_s.unwrap() - 700.0).abs() < 1e-6);
}

#[test]
fn the_rate_follows_a_new_pace() {
    let mut progress = Progress::default();
    for i in 0..100u64 {
        progress.observe(&report(at(i), i as f64, Some(1000.0)));
    }
    for i in 0..60u64 {
        progress.observe(&report(at(100 + 10 * i), (100 + i) as f64, None));
    }
    assert!((progress.figures().unwrap().rate.unwrap() - 0.1).abs() < 0.01, "{:?}", progress.figures());
}

#[test]
fn acting_without_progress_is_a_stall() {
    let mut progress = Progress::default();
    let last = work(&mut progress, 0, 10, 20, Some(100.0));
    acts(&mut progress, last, last + 299);
    assert_eq!(raised(&progress, last + 299), None);
    let due = progress.next_due(at(last + 299), &Config::default()).unwrap();
    assert!(due >= at(last + 300) && due <= at(last + 301));
    acts(&mut progress, last + 299, last + 301);
    let (severity, evidence) = raised(&progress, last + 301).unwrap();
    assert_eq!(severity, Severity::Warning);
    assert_eq!(evidence.get(EvidenceKey::State), Some(&EvidenceValue::Word(Word::Wedged)));
    assert_eq!(evidence.get(EvidenceKey::StalledSeconds), Some(&EvidenceValue::Number(301.0)));
    acts(&mut progress, last + 301, last + 1300);
    assert_eq!(raised(&progress, last + 1300).unwrap().0, Severity::Critical);
    // The same report again is no progress; more is.
    progress.observe(&report(at(last + 1301), 20.0, Some(100.0)));
    assert!(raised(&progress, last + 1301).is_some());
    progress.observe(&report(at(last + 1302), 21.0, Some(100.0)));
    assert_eq!(raised(&progress, last + 1302), None);
}

#[test]
fn a_slow_pace_has_long_patience() {
    let mut progress = Progress::default();
    let last = work(&mut progress, 0, 500, 5, Some(100.0));
    acts(&mut progress, last, last + 1990);
    assert_eq!(raised(&progress, last + 1990), None);
    acts(&mut progress, last + 1990, last + 2010);
    assert!(raised(&progress, last + 2010).is_some());
}

#[test]
fn without_a_pace_it_waits_longer() {
    let mut progress = Progress::default();
    progress.observe(&report(at(0), 0.0, Some(10.0)));
    acts(&mut progress, 0, 890);
    assert_eq!(raised(&progress, 890), None);
    acts(&mut progress, 890, 910);
    assert!(raised(&progress, 910).is_some());
}

#[test]
fn the_finished_and_the_idle_do_not_stall() {
    let mut progress = Progress::default();
    let last = work(&mut progress, 0, 10, 20, Some(20.0));
    acts(&mut progress, last, last + 3000);
    assert_eq!(raised(&progress, last + 3000), None);
    assert_eq!(progress.figures().unwrap().eta_s, Some(0.0));

    let mut progress = Progress::default();
    let last = work(&mut progress, 0, 10, 20, Some(100.0));
    assert_eq!(raised(&progress, last + 3000), None, "it does nothing");
    acts(&mut progress, last, last + 400);
    assert!(raised(&progress, last + 400).is_some());
    assert_eq!(raised(&progress, last + 1000), None, "it has stopped");
}

#[test]
fn new_tasks_changing_totals_and_overshoot() {
    let mut progress = Progress::default();
    work(&mut progress, 0, 10, 8, Some(10.0));
    progress.observe(&report(at(90), 8.0, Some(5.0)));
    assert_eq!(progress.figures().unwrap().fraction, Some(1.0));
    acts(&mut progress, 90, 5000);
    assert_eq!(raised(&progress, 5000), None, "done beyond the total is finished");
    progress.observe(&report(at(5000), 1.0, Some(50.0)));
    let figures = progress.figures().unwrap();
    assert_eq!((figures.fraction, figures.rate, figures.eta_s), (Some(0.02), None, None));
    assert_eq!(raised(&progress, 5001), None, "a new task starts afresh");
}

#[test]
fn sessions_do_not_disturb_each_other() {
    let mut progress = Progress::default();
    for i in 0..2000u64 {
        if i % 10 == 0 && i < 100 {
            progress.observe(&observation("a", at(i), Kind::Progress { done: i as f64, total: Some(1e6) }));
        }
        if i % 10 == 5 {
            progress.observe(&observation("b", at(i), Kind::Progress { done: i as f64, total: Some(1e6) }));
        }
        progress.observe(&act("a", at(i)));
        progress.observe(&act("b", at(i)));
    }
    let (_, evidence) = raised(&progress, 2000).unwrap();
    assert_eq!(evidence.get(EvidenceKey::Done), Some(&EvidenceValue::Number(90.0)));
    for i in 0..1000 {
        progress.observe(&observation(&format!("s{i}"), at(3000), Kind::Progress { done: 0.0, total: None }));
    }
    assert_eq!(progress.tasks.len(), MAX_TASKS);
}

#[test]
fn rare_acts_do_not_flap() {
    let mut progress = Progress::default();
    let last = work(&mut progress, 0, 10, 20, Some(100.0));
    acts(&mut progress, last, last + 20);
    let (mut open, mut openings) = (false, 0);
    for second in (last + 400..last + 50_000).step_by(60) {
        if (second - last - 400).is_multiple_of(660) {
            progress.observe(&act("s", at(second)));
        }
        let assessment = progress.assess(InsightKind::Stalled, open, at(second), &Config::default());
        let now_open = matches!(assessment, Assessment::Raise(..));
        openings += u32::from(now_open && !open);
        open = now_open;
    }
    assert_eq!(openings, 1);
}

#[test]
fn steps_around_the_limit_do_not_flap() {
    let (mut progress, mut open, mut openings) = (Progress::default(), false, 0);
    for i in 0..100u64 {
        // Steps of 295 to 305 seconds about the shortest stall of 300, with acts each ten seconds.
        let start = i * 300;
        progress.observe(&report(at(start), i as f64, Some(1000.0)));
        for second in (start..start + 295 + i % 10).step_by(10) {
            progress.observe(&act("s", at(second)));
            let now_open = matches!(
                progress.assess(InsightKind::Stalled, open, at(second), &Config::default()),
                Assessment::Raise(..)
            );
            openings += u32::from(now_open && !open);
            open = now_open;
        }
    }
    assert_eq!(openings, 0);
}

proptest! {
    #[test]
    fn restored_progress_goes_on_and_figures_are_finite(
        steps in proptest::collection::vec((0..5u8, 0..5000u64, 0.0..1e15f64, proptest::option::of(1e-9..1e15f64)), 1..100),
        pause in 0..100usize,
    ) {
        let (mut whole, mut restored) = (Progress::default(), Progress::default());
        for (i, (kind, seconds, done, total)) in steps.into_iter().enumerate() {
            if i == pause {
                restored = serde_json::from_str(&serde_json::to_string(&restored).unwrap()).unwrap();
            }
            let observation = if kind == 0 { report(at(seconds), done, total) } else { act("s", at(seconds)) };
            whole.observe(&observation);
            restored.observe(&observation);
            if let Some(figures) = whole.figures() {
                let numbers = [Some(figures.done), figures.total, figures.fraction, figures.rate, figures.eta_s];
                prop_assert!(numbers.into_iter().flatten().all(|number| number.is_finite() && number >= 0.0));
            }
            prop_assert_eq!(whole.figures().is_some(), restored.figures().is_some());
            prop_assert_eq!(raised(&whole, seconds).map(|r| r.0), raised(&restored, seconds).map(|r| r.0));
        }
    }
}

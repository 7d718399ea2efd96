//! How an episode begins, goes on and ends, and what it shows.

use super::*;

const FAIL: Outcome = (false, Some("e"), Some("t"));
const DONE: Outcome = (true, None, Some("r"));

/// The event of the last observation.
fn last(stuck: &mut Stuck, observations: &[Observation]) -> Option<Event> {
    events(stuck, observations, &Config::default()).pop().flatten()
}

/// Pattern, first observation and repeats of the open episode.
fn shown(stuck: &Stuck) -> Option<(&'static str, u64, u32)> {
    stuck.current().map(|detection| (detection.pattern.as_str(), detection.observation, detection.repeats))
}

#[test]
fn goes_on_with_more_repeats_and_ends_with_another_step() {
    let mut stuck = Stuck::new();
    let again = call("t", Some("x"), DONE);
    assert_eq!(last(&mut stuck, &again.times(3)), None);
    assert!(matches!(last(&mut stuck, &again), Some(Event::Detected(_))));
    assert!(matches!(last(&mut stuck, &again.times(96)), Some(Event::Continued(_))));
    assert_eq!(shown(&stuck), Some(("action_result_repeat", 8, 100)));
    assert_eq!(last(&mut stuck, &[observation(Kind::Thought { text: None })]), None);
    assert_eq!(last(&mut stuck, &call("t", Some("x"), (false, Some("503"), None))), None);
    assert_eq!(last(&mut stuck, &call("t", Some("y"), DONE)), Some(Event::Broken));
    assert_eq!(stuck.current(), None);
}

#[test]
fn ends_when_the_user_speaks() {
    let mut stuck = Stuck::new();
    last(&mut stuck, &vec![message(Role::Agent, Some("hi")); 3]);
    assert_eq!(shown(&stuck), Some(("monologue", 3, 3)));
    assert_eq!(last(&mut stuck, &[message(Role::User, None)]), Some(Event::Broken));
    assert_eq!(last(&mut stuck, &[message(Role::User, None)]), None);
    last(&mut stuck, &vec![message(Role::Agent, Some("hi")); 3]);
    assert_eq!(shown(&stuck), Some(("monologue", 8, 3)));
}

#[test]
fn the_user_makes_open_actions_forgotten() {
    let mut stuck = Stuck::new();
    let fails = call("t", Some("x"), FAIL);
    last(&mut stuck, &fails.times(2));
    last(&mut stuck, &[action(Some("late"), "t", Some("x")), message(Role::User, None)]);
    last(&mut stuck, &fails.times(2));
    assert_eq!(last(&mut stuck, &[result(Some("late"), Some("t"), FAIL)]), None);
}

#[test]
fn another_pattern_takes_over_in_the_same_episode() {
    let mut stuck = Stuck::new();
    last(&mut stuck, &call("t", Some("x"), FAIL).times(3));
    // It keeps the name it was found by while that pattern goes on, though an earlier one matches too.
    last(&mut stuck, &call("t", Some("x"), FAIL).times(3));
    assert_eq!(shown(&stuck), Some(("action_error_repeat", 6, 6)));

    let mut stuck = Stuck::new();
    for n in 0..5 {
        last(&mut stuck, &call("t", Some("x"), FAIL));
        last(&mut stuck, &call("other", Some(&n.to_string()), DONE));
    }
    assert_eq!(shown(&stuck), Some(("no_progress", 18, 5)));
    last(&mut stuck, &vec![message(Role::Agent, Some("hi")); 2]);
    assert_eq!(shown(&stuck), Some(("no_progress", 18, 5)));
    assert!(matches!(last(&mut stuck, &[message(Role::Agent, Some("hi"))]), Some(Event::Continued(_))));
    assert_eq!(shown(&stuck), Some(("monologue", 18, 3)));
    assert_eq!(last(&mut stuck, &[message(Role::Agent, Some("ho"))]), Some(Event::Broken));
}

/// An agent in [`Pattern::NoProgress`] with `t`.
fn without_progress() -> Stuck {
    let mut stuck = Stuck::new();
    for n in 0..5 {
        last(&mut stuck, &call("other", Some(&n.to_string()), DONE));
        last(&mut stuck, &call("t", Some("x"), FAIL));
    }
    assert_eq!(shown(&stuck), Some(("no_progress", 20, 5)));
    stuck
}

#[test]
fn no_progress_outlasts_other_steps_but_not_its_own() {
    let mut stuck = without_progress();
    assert_eq!(last(&mut stuck, &call("other", Some("next"), DONE)), None);
    assert!(matches!(last(&mut stuck, &call("t", Some("x"), FAIL)), Some(Event::Continued(_))));
    assert_eq!(shown(&stuck), Some(("no_progress", 20, 6)));
    assert_eq!(last(&mut stuck, &call("t", Some("x"), (false, Some("e"), Some("u")))), Some(Event::Broken));

    let mut stuck = without_progress();
    assert_eq!(last(&mut stuck, &call("t", Some("x"), DONE)), Some(Event::Broken));
}

#[test]
fn no_progress_falls_out_of_the_window() {
    let mut stuck = without_progress();
    // Its first failure is nine steps old, with 55 more it is out of the 64.
    for n in 0..54 {
        assert_eq!(last(&mut stuck, &call("other", Some(&format!("next {n}")), DONE)), None, "{n}");
        assert!(stuck.current().is_some());
    }
    assert_eq!(last(&mut stuck, &call("other", Some("last"), DONE)), None);
    assert_eq!(last(&mut stuck, &call("other", Some("very last"), DONE)), Some(Event::Broken));
}

#[test]
fn cycles_count_whole_rounds() {
    let mut stuck = Stuck::new();
    let round = [vec![message(Role::Agent, Some("hm"))], call("a", Some("x"), DONE).into()].concat();
    last(&mut stuck, &round.times(3));
    let first = stuck.current().unwrap().clone();
    assert_eq!((first.pattern, first.observation, first.repeats, first.period), (Pattern::Cycle, 9, 3, Some(2)));
    last(&mut stuck, &[message(Role::Agent, Some("hm"))]);
    assert_eq!(shown(&stuck), Some(("cycle", 9, 3)));
    last(&mut stuck, &call("a", Some("x"), DONE));
    assert_eq!(shown(&stuck), Some(("cycle", 9, 4)));
}

#[test]
fn rounds_of_messages_alone_are_no_cycle() {
    let round = [message(Role::Agent, Some("a")), message(Role::Agent, Some("b"))];
    assert_eq!(first(&round.times(9), &Config::default()), None);
}

#[test]
fn exempt_tools_are_not_stuck() {
    let exempt = |patterns: &[&str]| Config { exempt_tools: Exemptions::new(patterns).unwrap(), ..Config::default() };
    let polls = call("poll_job", Some("x"), FAIL).times(9);
    assert_eq!(first(&polls, &Config::default()), Some(("action_error_repeat", 6)));
    assert_eq!(first(&polls, &exempt(&["wait", "poll_*"])), None);
    assert_eq!(first(&polls, &exempt(&["wait"])), Some(("action_error_repeat", 6)));
    // The sleep between two polls is no loop either.
    let slept = [call("poll_job", Some("x"), DONE), call("sleep", Some("5"), DONE)].concat().times(9);
    assert_eq!(first(&slept, &exempt(&["poll_*"])), None);
}

#[test]
fn evidence_and_severity() {
    let mut stuck = Stuck::new();
    let config = Config::default();
    let round = [call("ls", Some("x"), DONE), call("pwd", Some("x"), DONE)].concat();
    last(&mut stuck, &round.times(3));
    let detection = stuck.current().unwrap();
    let evidence = detection.evidence();
    let names: Vec<_> = evidence.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["pattern", "repeats", "period", "tool", "observation"]);
    assert_eq!(evidence.get(EvidenceKey::Pattern), Some(&EvidenceValue::Word(crate::domain::Word::Cycle)));
    assert_eq!(evidence.get(EvidenceKey::Tool), Some(&EvidenceValue::Tool(ToolName::new("ls").unwrap())));
    assert_eq!(evidence.get(EvidenceKey::Observation), Some(&EvidenceValue::Count(12)));

    assert_eq!(detection.severity(&config), Severity::Warning);
    last(&mut stuck, &round.times(2));
    assert_eq!(stuck.current().unwrap().severity(&config), Severity::Warning);
    last(&mut stuck, &round);
    assert_eq!(stuck.current().unwrap().severity(&config), Severity::Critical);

    let mut stuck = Stuck::new();
    last(&mut stuck, &vec![message(Role::Agent, Some("hi")); 3]);
    let evidence = stuck.current().unwrap().evidence();
    assert_eq!(evidence.iter().count(), 3, "neither period nor tool");
}

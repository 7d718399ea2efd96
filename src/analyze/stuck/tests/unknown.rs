//! What is not known equals nothing, but for failures with the same error.

use super::*;

/// The first detection in four of the same step.
fn repeated(arguments: Option<&str>, outcome: Outcome) -> Option<(&'static str, u64)> {
    let observations: Vec<_> = (0..4).flat_map(|_| call("t", arguments, outcome)).collect();
    first(&observations, &Config::default())
}

/// The first detection in five of the same step with steps of another tool between.
fn spread(arguments: Option<&str>, outcome: Outcome) -> Option<(&'static str, u64)> {
    let step = |n: usize| {
        let fresh = call("other", Some(&n.to_string()), (true, None, Some("r")));
        call("t", arguments, outcome).into_iter().chain(fresh)
    };
    first(&(0..5).flat_map(step).collect::<Vec<_>>(), &Config::default())
}

#[test]
fn successes_without_content_equal_nothing() {
    assert_eq!(repeated(None, (true, None, None)), None);
    assert_eq!(repeated(None, (true, None, Some("r"))), None);
    assert_eq!(repeated(Some("x"), (true, None, None)), None);
    assert_eq!(repeated(Some("x"), (true, None, Some("r"))), Some(("action_result_repeat", 8)));
}

#[test]
fn failures_are_compared_by_their_error() {
    for text in [None, Some("t")] {
        for arguments in [None, Some("x")] {
            assert_eq!(repeated(arguments, (false, Some("e"), text)), Some(("action_error_repeat", 6)));
            assert_eq!(spread(arguments, (false, Some("e"), text)), Some(("no_progress", 18)));
        }
    }
}

#[test]
fn failures_without_an_error_need_arguments_and_text() {
    assert_eq!(repeated(None, (false, None, None)), None);
    assert_eq!(repeated(None, (false, None, Some("t"))), None);
    // The same action failed, in ways that are not known to be the same.
    assert_eq!(repeated(Some("x"), (false, None, None)), Some(("action_error_repeat", 6)));
    assert_eq!(spread(Some("x"), (false, None, None)), None);
    assert_eq!(spread(Some("x"), (false, None, Some("t"))), Some(("no_progress", 18)));
}

#[test]
fn without_arguments_another_error_is_another_action() {
    let errors = ["e", "f", "e", "f", "g", "e"];
    let observations: Vec<_> = errors.into_iter().flat_map(|e| call("t", None, (false, Some(e), None))).collect();
    assert_eq!(first(&observations, &Config::default()), None);
    let observations: Vec<_> = errors.into_iter().flat_map(|e| call("t", Some("x"), (false, Some(e), None))).collect();
    assert_eq!(first(&observations, &Config::default()), Some(("action_error_repeat", 6)));
}

#[test]
fn known_and_unknown_are_not_equal() {
    let fail = |arguments, text| call("t", arguments, (false, Some("e"), text));
    let mixed = [fail(Some("x"), None), fail(None, None)].concat().times(4);
    assert_eq!(first(&mixed, &Config::default()), Some(("cycle", 12)));
    let texts = [fail(None, None), fail(None, Some("t"))].concat().times(2);
    let found = first(&texts, &Config { error_repeats: 32, cycle_rounds: 32, ..Config::default() });
    assert_eq!(found, None);
}

#[test]
fn an_error_of_a_success_is_part_of_the_step_but_no_substitute() {
    assert_eq!(repeated(None, (true, Some("e"), None)), None);
    assert_eq!(repeated(Some("x"), (true, Some("e"), None)), None);
    assert_eq!(repeated(Some("x"), (true, Some("503"), Some("r"))), Some(("action_result_repeat", 8)));
}

#[test]
fn messages_without_text_equal_nothing() {
    let messages = |text: Option<&str>| vec![message(Role::Agent, text); 3];
    assert_eq!(first(&messages(None), &Config::default()), None);
    assert_eq!(first(&messages(Some("")), &Config::default()), Some(("monologue", 3)));
    assert_eq!(first(&vec![message(Role::Other, Some("x")); 9], &Config::default()), None);
}

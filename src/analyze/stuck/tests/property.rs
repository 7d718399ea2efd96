//! Against the definition, on random sessions.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::naive::Naive;
use super::*;

const TOOLS: [&str; 3] = ["a", "b", "exempt_1"];
const ARGUMENTS: [Option<&str>; 3] = [None, Some("x"), Some("y")];
const CALLS: [Option<&str>; 5] = [None, Some("0"), Some("1"), Some("2"), Some("3")];
const TEXTS: [Option<&str>; 3] = [None, Some("r"), Some("e")];

/// What an agent does at a time.
#[derive(Debug, Clone)]
enum Move {
    /// One observation, joined to others by chance.
    Loose(Observation),
    /// Calls at the same time, the results in order or in the reverse order.
    Calls(Vec<(&'static str, Option<&'static str>, Outcome)>, bool),
    /// A step like no other.
    Fresh,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let error = select(vec![None, Some("e"), Some("e"), Some("f"), Some("503")]);
    (any::<bool>(), error, select(TEXTS.to_vec()))
        .prop_map(|(ok, error, text)| (ok, if ok && error != Some("503") { None } else { error }, text))
}

fn loose() -> impl Strategy<Value = Observation> {
    let call = || select(CALLS.to_vec());
    let tool = || select(TOOLS.to_vec());
    let actions = (call(), tool(), select(ARGUMENTS.to_vec())).prop_map(|(c, t, a)| action(c, t, a));
    let results = (call(), proptest::option::of(tool()), outcome()).prop_map(|(c, t, o)| result(c, t, o));
    let role = select(vec![Role::Agent, Role::Agent, Role::Agent, Role::Other, Role::User]);
    let messages = (role, select(TEXTS.to_vec())).prop_map(|(role, text)| message(role, text));
    prop_oneof![3 => actions, 3 => results, 1 => messages, 1 => Just(observation(Kind::Thought { text: None }))]
}

fn one_move() -> impl Strategy<Value = Move> {
    let calls = proptest::collection::vec((select(TOOLS.to_vec()), select(ARGUMENTS.to_vec()), outcome()), 1..4);
    let said = select(TEXTS.to_vec()).prop_map(|text| Move::Loose(message(Role::Agent, text)));
    prop_oneof![
        6 => (calls, any::<bool>()).prop_map(|(calls, reverse)| Move::Calls(calls, reverse)),
        2 => said,
        2 => loose().prop_map(Move::Loose),
        1 => Just(Move::Fresh),
    ]
}

fn observations(moves: &[Move]) -> Vec<Observation> {
    let mut out = Vec::new();
    for (n, one) in moves.iter().enumerate() {
        match one {
            Move::Loose(observation) => out.push(observation.clone()),
            Move::Fresh => out.extend(call("b", Some(&format!("fresh {n}")), (true, None, Some("r")))),
            Move::Calls(calls, reverse) => {
                let id = |i: usize| ((n + i) % 4).to_string();
                let starts = calls.iter().enumerate().map(|(i, (tool, with, _))| action(Some(&id(i)), tool, *with));
                out.extend(starts);
                let mut ends: Vec<_> = calls
                    .iter()
                    .enumerate()
                    .map(|(i, (tool, _, what))| result(Some(&id(i)), Some(tool), *what))
                    .collect();
                if *reverse {
                    ends.reverse();
                }
                out.extend(ends);
            }
        }
    }
    out
}

/// Sessions of moves that come again and again, with others in between.
pub(super) fn session() -> impl Strategy<Value = Vec<Observation>> {
    let again = (proptest::collection::vec(one_move(), 1..5), 1usize..9);
    let part = prop_oneof![
        3 => again.prop_map(|(moves, times)| moves.times(times)),
        1 => proptest::collection::vec(one_move(), 1..8),
    ];
    proptest::collection::vec(part, 1..8).prop_map(|parts| observations(&parts.concat()))
}

fn config() -> impl Strategy<Value = Config> {
    // Narrower than can be configured too, so that sessions of this length outgrow it often.
    let window = prop_oneof![8u32..20, 20u32..=64];
    let other = (2u32..6, 2u32..6, 2u32..4, 2u32..=8, 2u32..6, 2u32..6, window, 1u32..5, any::<bool>());
    let other = other.prop_map(|(results, errors, rounds, period, monologue, progress, window, open, exempt)| Config {
        result_repeats: results,
        error_repeats: errors,
        cycle_rounds: rounds,
        max_cycle_period: period,
        monologue,
        no_progress: progress,
        window,
        open_actions: open,
        exempt_tools: if exempt { Exemptions::new(&["exempt_?"]).unwrap() } else { Exemptions::default() },
    });
    prop_oneof![1 => Just(Config::default()), 1 => other]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn agrees_with_the_definition(session in session(), config in config(), cut in 0usize..200) {
        let (mut stuck, mut naive) = (Stuck::new(), Naive::default());
        for (index, observation) in session.iter().enumerate() {
            if index == cut {
                let restored = serde_json::from_slice(&serde_json::to_vec(&stuck).unwrap()).unwrap();
                prop_assert_eq!(&stuck, &restored);
                stuck = restored;
            }
            prop_assert_eq!(stuck.observe(observation, &config), naive.observe(observation, &config), "at {}", index + 1);
            prop_assert_eq!(stuck.current(), naive.current(), "at {}", index + 1);
        }
    }
}

//! The dashboard on a terminal that is only memory.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::board::{Board, Go};
use super::draw::{Scene, Status, draw};
use super::picture::Picture;
use super::theme::Theme;

const LIVE: Status = Status::Live { quiet: std::time::Duration::ZERO, late: false };

fn state() -> Value {
    let agent = |status: &str, advice: &str, observations: u64| json!({"status": status, "advice": advice, "observations": observations});
    let mut planner = agent("progressing", "verify", 48_120);
    planner["calibration"] = json!({"n": 311, "brier": 0.14, "ece": 0.06, "bias": 0.17, "auroc2": 0.78, "d": 1.4, "meta_d": 1.1, "m_ratio": 0.79});
    planner["load"] = json!({"results": 12, "failed": 1, "p50_ms": 80.0, "p95_ms": 2400.0, "of_tomorrow": 7});
    let mut airline = agent("stuck", "escalate", 61);
    airline["loop"] = json!({"pattern": "action_result_repeat", "repeats": 4});
    json!({
        "heart": {"interval_ms": 100, "skew_ms": 0.31, "continuity": 0.99997, "missed": 2},
        "analysis": {"p50_ms": 0.2, "p95_ms": 0.9, "observations": 48_182, "per_second": 913.4},
        "store": {"mode": "redis", "breaker": "closed", "lag_beats": 0},
        "cluster": {"status": "led", "leader": "pod-7"},
        "agents": {"airline-5": airline, "idler": agent("idle", "continue", 3), "planner-1": planner},
        "insights": {
            "01K1": {"kind": "overconfident", "severity": "warning", "agent": "planner-1",
                "since": "2025-11-23T23:54:00.000Z", "evidence": {"n": 311, "bias": 0.17, "low": 0.1, "high": 0.24}},
            "01K2": {"kind": "stuck", "severity": "critical", "agent": "airline-5", "since": "2025-11-23T23:50:08.000Z",
                "evidence": {"pattern": "action_result_repeat", "repeats": 4, "tool": "get_user_details"}},
            "01K3": {"kind": "store_degraded", "severity": "warning", "since": "2025-11-23T23:54:06.000Z", "evidence": {"breaker": "open"}},
        },
    })
}

fn picture(state: Value) -> Picture {
    let mut picture = Picture::default();
    let frame =
        json!({"type": "state", "epoch": 3, "beat": 1201, "ts_ns": 1_763_942_048_000_000_000u64, "state": state});
    picture.take(&serde_json::from_value(frame).unwrap());
    picture
}

struct Screen {
    picture: Picture,
    board: Board,
    status: Status,
    theme: Theme,
    size: (u16, u16),
}

impl Screen {
    fn new(state: Value) -> Self {
        Self { picture: picture(state), board: Board::default(), status: LIVE, theme: Theme::Coloured, size: (80, 24) }
    }

    fn press(&mut self, codes: &[KeyCode]) {
        for code in codes {
            let key = KeyEvent::new(*code, KeyModifiers::NONE);
            assert_eq!(self.board.press(key, &self.picture), Go::On);
        }
    }

    fn write(&mut self, text: &str) {
        let codes: Vec<_> = text.chars().map(KeyCode::Char).collect();
        self.press(&codes);
    }

    fn terminal(&mut self) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(self.size.0, self.size.1)).unwrap();
        let Self { picture, board, status, theme, .. } = self;
        let mut scene = Scene { picture, board, status, shown: "mind:8080", remark: None, theme: *theme };
        terminal.draw(|frame| draw(frame, &mut scene)).unwrap();
        terminal
    }

    fn lines(&mut self) -> Vec<String> {
        let terminal = self.terminal();
        let buffer = terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        buffer
            .content
            .chunks(width)
            .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>())
            .collect()
    }

    /// The first line that holds a text.
    #[track_caller]
    fn line(&mut self, text: &str) -> (usize, String) {
        let lines = self.lines();
        let found = lines.iter().position(|line| line.contains(text));
        let found = found.unwrap_or_else(|| panic!("{text} in\n{}", lines.join("\n")));
        (found, lines[found].clone())
    }
}

#[test]
fn all_that_matters_is_on_80_by_24() {
    let mut screen = Screen::new(state());
    for text in [
        "consciousness-system  mind:8080",
        "beat 3:1201  ● live",
        "99.997 % on time   0.31 ms late",
        "913 observations/s   48,182 in all",
        "redis",
        "led   pod-7 leads",
        "agents 3 by urgency",
        "insights 3 open  1 critical",
        "!! stuck          airline-5  repeated get_user_details and got the same",
        "the daemon the state is kept in memory alone",
        "q quit",
    ] {
        screen.line(text);
    }
    let (_, planner) = screen.line("planner-1 ");
    for figure in ["progressing", "verify", "48,120", "+0.17", "0.78", "2.4 s"] {
        assert!(planner.contains(figure), "{planner}");
    }
    // The worst first.
    assert!(screen.line("!! airline-5").0 < screen.line("! planner-1").0);
    assert!(screen.line("! planner-1").0 < screen.line("idler").0);
    screen.size = (200, 40);
    for text in ["m-ratio", "action result repeat ×4", "by 17 points surer than it is right over 311 claims (10 to 24)"]
    {
        screen.line(text);
    }
}

#[test]
fn without_colours_nothing_is_told_by_colour() {
    let mut screen = Screen::new(state());
    let coloured = |terminal: &Terminal<TestBackend>| {
        terminal.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(&screen.terminal()));
    screen.theme = Theme::Plain;
    for keys in [vec![], vec![KeyCode::Enter], vec![KeyCode::Char('?')]] {
        screen.press(&keys);
        assert!(!coloured(&screen.terminal()));
    }
}

#[test]
fn the_filter_narrows_agents_and_insights() {
    let mut screen = Screen::new(state());
    screen.write("/PLAN");
    screen.line(" filter: PLAN█");
    screen.press(&[KeyCode::Enter]);
    screen.line("agents 1 of 3 by urgency  filter: PLAN");
    screen.line("insights 1 open");
    screen.write("/");
    screen.press(&[KeyCode::Esc]);
    screen.line("agents 3 by");
    screen.write("/stuck\n");
    screen.press(&[KeyCode::Enter]);
    screen.line("agents 1 of 3");
    screen.press(&[KeyCode::Esc]);
    screen.write("/*-?");
    screen.line("agents 2 of 3");
    screen.write("z");
    screen.line("no agent passes the filter");
}

#[test]
fn the_cursor_stays_with_its_agent_when_the_order_changes() {
    let mut screen = Screen::new(state());
    screen.press(&[KeyCode::Down]);
    screen.press(&[KeyCode::Char('s'), KeyCode::Char('r'), KeyCode::Enter]);
    screen.line(" planner-1 ──");
    screen.line("! overconfident for 8 s: by 17 points surer");
    screen.line("do not act on its confidence alone");
    for text in ["type-2 AUROC", "0.780", "latency, p95", "2.4 s", "of tomorrow", "48,120 observations"] {
        screen.line(text);
    }
    screen.press(&[KeyCode::Esc]);
    screen.line("by name, reversed");
    assert!(screen.line("planner-1").0 < screen.line("airline-5").0);
    // From an insight to its agent; one of the daemon itself has none.
    screen.press(&[KeyCode::Tab, KeyCode::Enter]);
    screen.line(" airline-5 ──");
    screen.line("stop it, or tell it what it does not see");
    screen.press(&[KeyCode::Esc, KeyCode::Down, KeyCode::Enter]);
    screen.line("agents 3 by");
}

#[test]
fn why_there_is_no_picture_is_said() {
    let mut screen = Screen::new(state());
    screen.status =
        Status::Waiting { why: "the daemon restarts (1012)".into(), left: std::time::Duration::from_millis(2100) };
    screen.line("○ cut off, next try in 3 s");
    screen.line(" the daemon restarts (1012)");
    screen.status = Status::Live { quiet: std::time::Duration::from_secs(7), late: true };
    screen.line("○ nothing new for 7 s");
    let mut empty = Screen::new(json!({"agents": {}, "insights": {}}));
    empty.line("no agent has sent anything yet");
    empty.line("all is as expected");
    empty.picture = Picture::default();
    empty.line("waiting for the first frame");
}

#[test]
fn the_keys_that_quit() {
    let mut board = Board::default();
    let picture = picture(state());
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(board.press(KeyEvent::from(KeyCode::Char('/')), &picture), Go::On);
    assert_eq!(board.press(KeyEvent::from(KeyCode::Char('q')), &picture), Go::On, "a letter of the filter");
    assert_eq!(board.press(control_c, &picture), Go::Quit);
    assert_eq!(board.press(KeyEvent::from(KeyCode::Enter), &picture), Go::On);
    assert_eq!(board.press(KeyEvent::from(KeyCode::Char('q')), &picture), Go::Quit);
}

#[test]
fn thousands_of_agents_are_scrolled_through() {
    let mut all = state();
    all["insights"] = json!({});
    let agents = (0..5000).map(|n| (format!("agent-{n:04}"), json!({"status": "idle", "observations": n})));
    all["agents"] = Value::Object(agents.collect());
    let mut screen = Screen::new(all);
    screen.line("agents 5,000 by urgency");
    screen.press(&[KeyCode::Char('s'), KeyCode::End]);
    screen.line("agent-4999");
    screen.press(&[KeyCode::PageUp]);
    let page = screen.board.page;
    screen.press(&[KeyCode::Enter]);
    screen.line(&format!(" agent-{} ──", 4999 - page));
    screen.press(&[KeyCode::Esc, KeyCode::Home]);
    screen.line("agent-0000");
}

/// Anything that a daemon may say, malformed or not.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("critical")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let keys = prop_oneof![
            Just("agents"),
            Just("insights"),
            Just("heart"),
            Just("skew_ms"),
            Just("calibration"),
            Just("bias"),
            Just("evidence"),
            Just("observations"),
            Just("since"),
            Just("cluster"),
            Just("load"),
            Just("agent"),
            Just("kind"),
        ];
        prop::collection::btree_map(keys.prop_map(str::to_owned), inner, 0..6)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_drawn_at_any_size(
        said in anything(), agents in anything(), insights in anything(), width in 1..220u16, height in 1..60u16, keys in "[?sSrjkgG/a\n\t ]{0,8}",
    ) {
        let mut state = json!({"x": said});
        state["agents"] = agents;
        state["insights"] = insights;
        let mut screen = Screen::new(state);
        screen.size = (width, height);
        for key in keys.chars() {
            let code = match key { '\n' => KeyCode::Enter, '\t' => KeyCode::Tab, key => KeyCode::Char(key) };
            screen.board.press(KeyEvent::from(code), &screen.picture);
            screen.terminal();
        }
        screen.terminal();
    }
}

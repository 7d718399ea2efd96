//! The main job, end to end.

use serde_json::{Value, json};

use crate::support::{Daemon, connect, token};

fn repeated(agent: &str, times: usize) -> Value {
    (0..times)
        .flat_map(|n| {
            [
                json!({"agent": agent, "session": "s", "kind": "action", "tool": "ls", "arguments": {"p": "."}, "call_id": n.to_string()}),
                json!({"agent": agent, "session": "s", "kind": "result", "call_id": n.to_string(), "ok": true, "text": "same"}),
            ]
        })
        .collect()
}

#[tokio::test]
async fn an_agent_that_loops_shows_on_the_stream() {
    let daemon = Daemon::start(&[]).await;
    let mut stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    assert_eq!(stream.hello["protocol"], 1);
    assert_eq!(stream.hello["interval_ms"], 100);
    let (status, answer) = daemon.observe(&repeated("planner-1", 4)).await;
    assert_eq!((status, &answer), (202, &json!({"accepted": 8, "rejected": []})));
    stream.until("the loop", |state| state["agents"]["planner-1"]["status"] == "stuck").await;
    let agent = &stream.state["agents"]["planner-1"];
    assert_eq!(agent["loop"], json!({"pattern": "action_result_repeat", "repeats": 4}));
    let insight = stream.state["insights"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&insight["kind"], &insight["agent"]), (&json!("stuck"), &json!("planner-1")));
    assert_eq!(insight["evidence"]["observation"], 8);
    let (status, advice) = daemon.get_as("metacog.observe", "/v1/agents/planner-1/advice").await;
    assert_eq!((status, &advice["advice"], &advice["because"]), (200, &json!("escalate"), &json!(["stuck"])));
    let frames = stream.beat;
    stream.until("a later beat", |_| true).await;
    assert!(stream.beat >= frames);
    let text = daemon.metrics().await;
    assert!(text.contains("\nobservations_total{kind=\"result\",source=\"native\"} 4\n"), "{text}");
    assert!(text.contains("\ninsights_open{kind=\"stuck\",severity=\"warning\"} 1\n"));
}

#[tokio::test]
async fn a_term_signal_drains() {
    let mut daemon = Daemon::start(&[("shutdown__grace", "5s"), ("shutdown__drain", "500ms")]).await;
    let mut stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    daemon.signal("TERM").await;
    let told = stream.frame_of_type("error").await;
    assert_eq!(told["code"], "draining");
    assert_eq!(stream.closed().await.0, 1012);
    assert_eq!(daemon.exit().await, Some(0));
}

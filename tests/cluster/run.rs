//! One schedule from begin to end.

use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dashboard::Dashboard;
use crate::history::History;
use crate::producer::{Books, Producer};
use crate::schedule::{Episode, Schedule};
use crate::verdict;
use crate::world::{INTERVAL, World};

const DASHBOARDS: usize = 3;
const PRODUCERS: usize = 6;
/// Notes and lines of logs told where something went wrong.
const TOLD: usize = 120;

/// Runs it: a summary, and what went wrong with what there is to explain it.
pub async fn run(schedule: &Schedule) -> (String, Vec<String>) {
    let history = Arc::new(History::new());
    let mut world = World::start(schedule.kind, Arc::clone(&history)).await;
    world.heal().await;
    let (tasks, producing, watching) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    for number in 0..DASHBOARDS {
        let dashboard = Dashboard::new(number, &world.balancer, &history);
        tasks.spawn(dashboard.run(watching.clone()));
    }
    let books = Books::default();
    let producers = TaskTracker::new();
    for number in 0..PRODUCERS {
        let identified = number % 2 == 0;
        let producer = Producer {
            agent: format!("{}-{number}", if identified { "identified" } else { "plain" }),
            identified,
            balancer: world.balancer.clone(),
            history: Arc::clone(&history),
            books: Arc::clone(&books),
            seed: schedule.seed * 100 + number as u64,
        };
        producers.spawn(producer.run(producing.clone()));
    }
    for Episode { quiet, faults, hold } in &schedule.episodes {
        sleep(*quiet).await;
        for fault in faults {
            world.perform(*fault).await;
        }
        sleep(*hold).await;
        world.heal().await;
    }
    producing.cancel();
    producers.close();
    producers.wait().await;
    verdict::counts(&world, &books).await;
    verdict::states(&world).await;
    verdict::trimmed(&world).await;
    let objective = verdict::continuity(&world).await;
    watching.cancel();
    tasks.close();
    tasks.wait().await;
    history.overlaps().into_iter().for_each(|overlap| history.wrong(overlap));
    let told = verdict::logs(&world);

    let continuity = history.continuity(INTERVAL);
    let sent =
        books.lock().unwrap().values().fold((0, 0), |sum, sent| (sum.0 + sent.acknowledged, sum.1 + sent.unknown));
    let summary = format!(
        "{:?}; {} acknowledged, {} unknown; {} epochs, led for {:.4} of the time, continuity {:.4}, widest gap {:?}; {} states agreed; {:?}{}",
        schedule.kind,
        sent.0,
        sent.1,
        continuity.epochs,
        continuity.made as f64 / continuity.due,
        objective.unwrap_or(f64::NAN),
        continuity.widest,
        history.agreed(),
        history.counts(),
        if world.excused.is_empty() { String::new() } else { format!("; excused: {:?}", world.excused) },
    );
    let mut wrongs = history.wrongs();
    if !wrongs.is_empty() {
        wrongs.truncate(12);
        wrongs.push(format!("what was seen:\n{}", history.last(TOLD).join("\n")));
        let skip = told.len().saturating_sub(TOLD);
        wrongs.push(format!("what pods logged:\n  {}", told[skip..].join("\n  ")));
    }
    (summary, wrongs)
}

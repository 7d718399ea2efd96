use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use redis::Pipeline;
use redis::streams::StreamRangeReply;

use super::row::Row;
use crate::domain::Timestamp;
use crate::link::{Endpoint, Fault, Link};

/// The trail, a stream.
const TRAIL: &str = "meta:audit";
/// Rows read at a time.
const PAGE: usize = 1_000;
/// What a row weighs at most, as a generous estimate for how long reading it may take.
const WEIGHT: usize = 1_024;
/// How far the clocks of Redis and of the pods may be apart.
const APART: Duration = Duration::from_mins(10);
/// Names of rows lately read: one that was written again, since no answer had come, is passed over.
const LATELY: usize = 65_536;

/// The trail in Redis, on a connection of its own.
#[derive(Debug)]
pub struct Trail {
    link: Link,
    /// What names this writer's rows: a name of its own, and a number.
    writer: String,
}

impl Trail {
    /// The trail in this Redis; it connects when it is first used.
    pub fn new(redis: &Endpoint) -> Self {
        Self { link: redis.link(), writer: format!("{:016x}", rand::random::<u64>()) }
    }

    /// Adds rows, the first of which has this number. After [`Fault::Timeout`] and [`Fault::Lost`] they can be added again
    /// under the same numbers.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn append(&mut self, rows: &[Row], number: u64) -> Result<(), Fault> {
        let mut pipeline = Pipeline::new();
        for (row, number) in rows.iter().zip(number..) {
            let command = pipeline.cmd("XADD").arg(TRAIL).arg("*").arg("n").arg(format!("{}-{number}", self.writer));
            for (name, value) in row.fields() {
                command.arg(name).arg(value);
            }
            command.ignore();
        }
        self.link.call(rows.len() * WEIGHT, async |connection| pipeline.query_async(connection).await).await
    }

    /// Cuts off what was written before a moment, and what is over so many rows. Returns how many rows that were.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn trim(&mut self, before: Timestamp, most: usize) -> Result<u64, Fault> {
        let old: u64 =
            self.link.command(redis::cmd("XTRIM").arg(TRAIL).arg("MINID").arg(before.as_millis()), 0).await?;
        let many: u64 = self.link.command(redis::cmd("XTRIM").arg(TRAIL).arg("MAXLEN").arg("~").arg(most), 0).await?;
        Ok(old + many)
    }

    /// Reads what happened from one moment to before another, in the order in which it was written. Returns how many
    /// entries could not be read.
    ///
    /// # Errors
    /// Why Redis could not be asked.
    pub async fn read(&mut self, since: Timestamp, until: Timestamp, mut each: impl FnMut(Row)) -> Result<u64, Fault> {
        let mut from = since.minus(APART).as_millis().to_string();
        let mut lately = Lately::default();
        let mut unreadable = 0;
        loop {
            let mut range = redis::cmd("XRANGE");
            range.arg(TRAIL).arg(&from).arg("+").arg("COUNT").arg(PAGE);
            let page: StreamRangeReply = self.link.command(&range, PAGE * WEIGHT).await?;
            let Some(last) = page.ids.last() else { return Ok(unreadable) };
            from = format!("({}", last.id);
            for entry in &page.ids {
                let text = |value| redis::from_redis_value_ref::<String>(value).ok();
                let fields: HashMap<_, _> =
                    entry.map.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
                if fields.get("n").is_some_and(|name| !lately.is_new(name)) {
                    continue;
                }
                match Row::read(&fields) {
                    Some(row) if row.at >= since && row.at < until => each(row),
                    Some(_) => {}
                    None => unreadable += 1,
                }
            }
        }
    }
}

/// Names that came lately.
#[derive(Default)]
struct Lately {
    names: HashSet<String>,
    order: VecDeque<String>,
}

impl Lately {
    fn is_new(&mut self, name: &str) -> bool {
        if !self.names.insert(name.to_owned()) {
            return false;
        }
        self.order.push_back(name.to_owned());
        if self.order.len() > LATELY
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}

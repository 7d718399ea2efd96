//! How costs grow with what there is: a table and a plot of each curve.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use consciousness_system::sanitize::Everything;
use plotters::prelude::*;

use super::Args;
use super::workload::{Daemon as Engine, Workload};
use super::{fanout, memory};

/// Agents whose observations are counted.
const AGENTS: usize = 100;
/// Observations of a beat, at most.
const BATCH: usize = 10_000;

/// Values over what there is of something.
struct Curve {
    file: &'static str,
    title: &'static str,
    over: &'static str,
    series: Vec<(&'static str, Vec<(f64, f64)>)>,
}

pub fn run(args: &Args) {
    println!("\nGrowth: what costs depend on; plots go to {}", args.plots.display());
    fs::create_dir_all(&args.plots).unwrap();
    let most = args.most;
    for curve in [history(most * 100), beats(most), resident(args, most / 10), frames(args, most / 20)] {
        curve.print();
        curve.plot(&args.plots).unwrap();
    }
}

/// Powers of ten up to the most, which is the last one.
fn decades(from: usize, most: usize) -> Vec<usize> {
    let tens = std::iter::successors(Some(from), |ten| ten.checked_mul(10));
    tens.take_while(|&ten| ten < most).chain([most]).collect()
}

/// An observation's cost after so many others.
fn history(most: usize) -> Curve {
    let (mut engine, mut work) = (Engine::new(), Workload::new(AGENTS, 4));
    let (mut before, mut cost) = (0, Vec::new());
    for wanted in decades(1_000, most) {
        while before < wanted {
            let batch = work.batch(BATCH.min(wanted - before), engine.now);
            engine.beat(&batch);
            before += batch.len();
        }
        // The median of some beats, which count as history themselves.
        let each = (wanted / 20).clamp(100, BATCH);
        let times = (0..9).map(|_| {
            let batch = work.batch(each, engine.now);
            before += each;
            engine.beat(&batch).iter().sum::<Duration>().as_secs_f64() * 1e9 / each as f64
        });
        cost.push((wanted as f64, median(times)));
    }
    let title = "An observation, folded, judged and shown, after so many others of 100 agents: ns";
    Curve { file: "history", title, over: "observations before", series: vec![("ns", cost)] }
}

/// A beat at which a hundred agents of so many change, and its patch.
fn beats(most: usize) -> Curve {
    let mut cost = [Vec::new(), Vec::new()];
    for agents in decades(1_000, most) {
        let (mut engine, mut work) = (Engine::new(), Workload::new(agents, 1));
        for first in (0..agents).step_by(1_000) {
            let batch: Vec<_> =
                (first..agents.min(first + 1_000)).map(|agent| work.observe(agent, engine.now)).collect();
            engine.beat(&batch);
        }
        let (mut beat, mut patch) = (Vec::new(), Vec::new());
        for number in 0..50 {
            let batch: Vec<_> =
                (0..100).map(|i| work.observe((number * 7_919 + i * 31) % agents, engine.now)).collect();
            let base = engine.public.position().beat;
            beat.push(engine.beat(&batch).iter().sum::<Duration>().as_secs_f64() * 1e6);
            let start = super::cpu();
            black_box(engine.public.patch(base, &Everything).map(|patch| serde_json::to_vec(&patch)).is_some());
            patch.push((super::cpu() - start).as_secs_f64() * 1e6);
        }
        cost[0].push((agents as f64, median(beat)));
        cost[1].push((agents as f64, median(patch)));
    }
    let [beat, patch] = cost;
    let title = "A beat at which 100 agents change: us";
    Curve { file: "beat", title, over: "agents", series: vec![("beat", beat), ("patch as JSON", patch)] }
}

/// Memory of a stream among so many.
fn resident(args: &Args, most: usize) -> Curve {
    let args = Args { small_pages: true, ..args.clone() };
    let of = |streams| (streams as f64, memory::measure(&args, streams).resident_kib);
    let kib = decades(100, most).into_iter().map(of).collect();
    let title = "Resident memory of an idle stream, without huge pages: KiB";
    Curve { file: "memory", title, over: "streams", series: vec![("KiB", kib)] }
}

/// A frame's cost among so many streams.
fn frames(args: &Args, most: usize) -> Curve {
    let (mut daemon, mut floor) = (Vec::new(), Vec::new());
    for streams in decades(50, most) {
        let (ours, least) = fanout::once(args, streams, 3);
        daemon.push((streams as f64, ours));
        floor.push((streams as f64, least));
    }
    let title = "A server's CPU a frame of 1 KiB: us";
    Curve { file: "frames", title, over: "streams", series: vec![("daemon", daemon), ("floor", floor)] }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    super::figures::Sorted::new(values).at(0.5)
}

impl Curve {
    fn print(&self) {
        println!("{}", self.title);
        for (name, points) in &self.series {
            let first = points.first().map_or(f64::NAN, |point| point.1);
            print!("  {name:<14}");
            points.iter().for_each(|(over, value)| print!("  {over}: {value:.1} ({:.2} x)", value / first));
            println!();
        }
    }

    fn plot(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        let path = directory.join(self.file).with_extension("svg");
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let edge = |pick: fn(f64, f64) -> f64, of: fn(&(f64, f64)) -> f64| points().map(of).reduce(pick).unwrap_or(1.0);
        let (from, to) = (edge(f64::min, |point| point.0), edge(f64::max, |point| point.0));
        let high = edge(f64::max, |point| point.1) * 1.3;
        let area = SVGBackend::new(&path, (720, 360)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d((from..to * 1.01).log_scale(), 0.0..high)?;
        chart.configure_mesh().x_desc(self.over).x_label_formatter(&|x| format!("{x:.0}")).draw()?;
        for (number, (name, points)) in self.series.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let line = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
        }
        chart.configure_series_labels().position(SeriesLabelPosition::UpperRight).border_style(BLACK).draw()?;
        area.present()?;
        Ok(())
    }
}

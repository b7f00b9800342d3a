//! What was measured, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

/// One thing measured several times.
struct Figure {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
}

/// What a ratio or a figure is held to.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

struct Ratio {
    name: String,
    samples: Vec<f64>,
    /// Absent: the design names none.
    target: Option<Bound>,
}

/// Everything that was measured, in the order in which it was.
#[derive(Default)]
pub(crate) struct Report {
    conditions: Vec<String>,
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
}

impl Report {
    /// Adds a line on the conditions of the run.
    pub(crate) fn condition(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Adds one sample of a figure.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, sample: f64) {
        match self.figures.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.samples.push(sample),
            None => self.figures.push(Figure { name: name.to_owned(), unit, samples: vec![sample] }),
        }
    }

    /// The samples of a figure, in the order of the repetitions.
    pub(crate) fn samples(&self, name: &str) -> &[f64] {
        self.figures.iter().find(|figure| figure.name == name).map_or(&[], |figure| &figure.samples)
    }

    /// Holds something computed from figures, repetition by repetition, to a bound.
    pub(crate) fn target<const N: usize>(
        &mut self,
        name: &str,
        bound: Bound,
        figures: [&str; N],
        compute: impl Fn([f64; N]) -> f64,
    ) {
        self.add_ratio(name, Some(bound), figures, compute);
    }

    /// Computes something from figures, repetition by repetition, for which the design names no target.
    pub(crate) fn ratio<const N: usize>(
        &mut self,
        name: &str,
        figures: [&str; N],
        compute: impl Fn([f64; N]) -> f64,
    ) {
        self.add_ratio(name, None, figures, compute);
    }

    fn add_ratio<const N: usize>(
        &mut self,
        name: &str,
        target: Option<Bound>,
        figures: [&str; N],
        compute: impl Fn([f64; N]) -> f64,
    ) {
        let columns = figures.map(|figure| self.samples(figure));
        let repetitions = columns.iter().map(|samples| samples.len()).min().unwrap_or_default();
        let samples =
            (0..repetitions).map(|repetition| compute(columns.map(|samples| samples[repetition]))).collect();
        self.ratios.push(Ratio { name: name.to_owned(), samples, target });
    }

    /// Two tables in Markdown.
    pub(crate) fn for_people(&self) -> String {
        let mut text = String::new();
        for condition in &self.conditions {
            let _infallible = writeln!(text, "{condition}");
        }
        text.push_str("\n| figure | unit | min | median | max |\n| --- | --- | ---: | ---: | ---: |\n");
        for Figure { name, unit, samples } in &self.figures {
            let [least, median, most] = spread(samples).map(rounded);
            let _infallible = writeln!(text, "| {name} | {unit} | {least} | {median} | {most} |");
        }
        text.push_str(
            "\n| ratio | target | min | median | max | met |\n| --- | --- | ---: | ---: | ---: | --- |\n",
        );
        for ratio in &self.ratios {
            let [least, median, most] = spread(&ratio.samples).map(rounded);
            let met = ratio.is_met().map_or("–", |is_met| if is_met { "yes" } else { "no" });
            let bound = ratio.target.map_or("–".to_owned(), Bound::text);
            let _infallible =
                writeln!(text, "| {} | {bound} | {least} | {median} | {most} | {met} |", ratio.name);
        }
        text
    }

    /// The same with every sample.
    pub(crate) fn for_programs(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            json!({ "name": figure.name, "unit": figure.unit, "median": spread(&figure.samples)[1], "samples": figure.samples })
        });
        let ratios = self.ratios.iter().map(|ratio| {
            json!({
                "name": ratio.name,
                "target": ratio.target.map(Bound::text),
                "median": spread(&ratio.samples)[1],
                "samples": ratio.samples,
                "met": ratio.is_met(),
            })
        });
        json!({
            "conditions": self.conditions,
            "figures": figures.collect::<Vec<_>>(),
            "ratios": ratios.collect::<Vec<_>>(),
        })
    }
}

impl Ratio {
    /// Whether the target is met; absent where there is none.
    fn is_met(&self) -> Option<bool> {
        let median = spread(&self.samples)[1];
        self.target.map(|target| match target {
            Bound::AtMost(bound) => median <= bound,
            Bound::AtLeast(bound) => median >= bound,
        })
    }
}

impl Bound {
    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("≤ {bound}"),
            Self::AtLeast(bound) => format!("≥ {bound}"),
        }
    }
}

/// Least, median and most; not numbers where nothing was measured, so that no target is met by it.
fn spread(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => [f64::NAN; 3],
        [least, .., most] => {
            let middle = sorted.len() / 2;
            let median = if sorted.len().is_multiple_of(2) {
                f64::midpoint(sorted[middle - 1], sorted[middle])
            } else {
                sorted[middle]
            };
            [*least, median, *most]
        }
        [only] => [*only; 3],
    }
}

/// Three or so significant digits.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_judged_by_the_median_of_its_repetitions() {
        let mut report = Report::default();
        for (own, bare) in [(3.0, 2.0), (9.0, 2.0), (2.8, 2.0)] {
            report.add("own", "ms", own);
            report.add("bare", "ms", bare);
        }
        report.target("within", Bound::AtMost(1.5), ["own", "bare"], |[own, bare]| own / bare);
        report.target("beyond", Bound::AtMost(1.4), ["own", "bare"], |[own, bare]| own / bare);
        let text = report.for_people();
        assert!(text.contains("| within | ≤ 1.5 | 1.40 | 1.50 | 4.50 | yes |"), "{text}");
        assert!(text.contains("| beyond | ≤ 1.4 | 1.40 | 1.50 | 4.50 | no |"), "{text}");
    }

    #[test]
    fn target_of_something_not_measured_is_not_met() {
        let mut report = Report::default();
        report.target("nothing", Bound::AtMost(1.0), ["missing"], |[missing]| missing);
        assert_eq!(report.for_programs()["ratios"][0]["met"], false);
    }

    #[test]
    fn ratio_without_a_target_is_neither_met_nor_missed() {
        let mut report = Report::default();
        report.add("own", "ms", 3.0);
        report.ratio("alone", ["own"], |[own]| own);
        assert!(report.for_people().contains("| alone | – | 3.00 | 3.00 | 3.00 | – |"));
        assert!(report.for_programs()["ratios"][0]["met"].is_null());
    }
}

//! What the benches share: how a run is set, and figures with their spread.

/// The median of some figures, and how far they lie apart.
pub struct Spread {
    least: f64,
    pub middle: f64,
    most: f64,
}

impl Spread {
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self { least: at(0), middle: at(figures.len() / 2), most: at(figures.len().saturating_sub(1)) }
    }

    pub fn range(&self) -> String {
        format!("{:.2} to {:.2}", self.least, self.most)
    }
}

/// `cargo bench` passes `--bench`; without it this is a test run, which only has to work.
pub fn is_quick() -> bool {
    std::env::var_os("BENCH_QUICK").is_some() || !std::env::args().any(|arg| arg == "--bench")
}

pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

//! The chart for a report: a panel a scenario, bars of its first figure relative to the floor, or to the best peer where that
//! is what counts or the floor is not there. Lower is better throughout. Pure but for the file.
//!
//!     header and legend
//!     panel │ panel        each: title, what the bars are, groups of bars (a case each), names of the cases
//!     panel │ panel

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::comparison::{Comparison, Row};
use crate::ending::Result;
use crate::measured::Figure;
use crate::peers::Kind;
use crate::scenarios::{Base, SCENARIOS, Scenario};
use crate::table::grouped;

type Area<'svg> = DrawingArea<SVGBackend<'svg>, plotters::coord::Shift>;

/// Draws what has at least one ratio; the file is written in any case.
pub fn write(path: &Path, comparisons: &[Comparison]) -> Result<()> {
    std::fs::write(path, svg(comparisons)?).map_err(|error| format!("{}: {error}", path.display()).into())
}

pub fn svg(comparisons: &[Comparison]) -> Result<String> {
    let panels: Vec<Panel> = SCENARIOS.iter().filter_map(|scenario| Panel::of(scenario, comparisons)).collect();
    let rows = i32::try_from(panels.len().div_ceil(2))?;
    let size = (WIDTH.unsigned_abs(), (HEADER + rows * PANEL_HEIGHT + MARGIN).unsigned_abs());
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    area.fill(&WHITE)?;
    header(&area, &panels)?;
    for (panel, place) in panels.iter().zip(0..) {
        panel.draw(&area, MARGIN + place % 2 * (PANEL_WIDTH + GAP), HEADER + place / 2 * PANEL_HEIGHT)?;
    }
    area.present()?;
    drop(area);
    Ok(text)
}

impl Base {
    fn ratio(self, row: &Row) -> Option<f64> {
        match self {
            Self::Floor => row.to_floor,
            Self::BestPeer => row.to_best,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "the floor",
            Self::BestPeer => "the best peer",
        }
    }
}

/// A scenario's part of the chart.
struct Panel<'run> {
    scenario: &'static Scenario,
    cases: Vec<&'run Comparison>,
    base: Base,
    /// Ratio at the upper end of the axis.
    top: f64,
}

impl<'run> Panel<'run> {
    fn of(scenario: &'static Scenario, comparisons: &'run [Comparison]) -> Option<Self> {
        let cases: Vec<_> = comparisons.iter().filter(|comparison| comparison.scenario == scenario.name).collect();
        let rows = || cases.iter().flat_map(|case| &case.rows);
        let floor = scenario.base == Base::Floor && rows().any(|row| row.to_floor.is_some());
        let base = if floor { Base::Floor } else { Base::BestPeer };
        let highest = rows().filter_map(|row| base.ratio(row)).reduce(f64::max)?;
        Some(Self { scenario, cases, base, top: highest.clamp(TOP_MIN, TOP_MAX) })
    }

    fn draw(&self, area: &Area, left: i32, top: i32) -> Result<()> {
        let figure = self.scenario.figures[0].describe(self.scenario.unit);
        text(area, self.scenario.title, (left, top), TITLE, &INK, HPos::Left)?;
        let note = format!("{figure}, {} = 1", self.base.name());
        text(area, &note, (left, top + 21), SMALL, &SOFT_INK, HPos::Left)?;
        let plot = Plot { left, right: left + PANEL_WIDTH, top: top + 66, bottom: top + 244, scale: self.top };
        self.grid(area, &plot)?;
        let bars = self.bars(&plot)?;
        for bar in &bars {
            bar.draw(area, &plot)?;
        }
        // Over the bars, under their numbers: what is below it is better than the base.
        let one = plot.y(1.0);
        area.draw(&PathElement::new([(plot.left, one), (plot.right, one)], INK.stroke_width(1)))?;
        for bar in &bars {
            self.label(area, &plot, bar)?;
        }
        for (case, center) in self.cases.iter().zip(self.centers()?) {
            text(area, &case.case, (left + center, plot.bottom + 8), SMALL, &INK, HPos::Center)?;
        }
        Ok(())
    }

    /// Of the groups, from the left edge.
    fn centers(&self) -> Result<impl Iterator<Item = i32>> {
        let width = PANEL_WIDTH / i32::try_from(self.cases.len())?;
        Ok((0..).map(move |place| place * width + width / 2))
    }

    /// Groups, each side by side around its center.
    fn bars(&self, plot: &Plot) -> Result<Vec<Bar<'run>>> {
        let width = PANEL_WIDTH / i32::try_from(self.cases.len())?;
        let mut bars = Vec::new();
        for (case, center) in self.cases.iter().zip(self.centers()?) {
            let rows: Vec<_> = case.rows.iter().filter_map(|row| Some((row, self.base.ratio(row)?))).collect();
            let count = i32::try_from(rows.len())?;
            let pitch = ((width - GROUP_GAP) / count.max(1)).min(BAR_PITCH_MAX);
            let first = plot.left + center - count * pitch / 2;
            let place = |((row, ratio), place)| Bar { row, ratio, left: first + place * pitch, pitch };
            bars.extend(rows.into_iter().zip(0..).map(place));
        }
        Ok(bars)
    }

    /// Ratio above a bar, two decimals: they tell peers apart, more would be noise. What failed above that.
    fn label(&self, area: &Area, plot: &Plot, bar: &Bar) -> Result<()> {
        let (middle, top) = (bar.left + bar.pitch / 2, plot.y(bar.ratio));
        let number = if bar.ratio < 9.995 { format!("{:.2}", bar.ratio) } else { format!("{:.0}", bar.ratio) };
        let size = if bar.pitch < LABEL_WIDTH { SMALLEST } else { SMALL };
        let (bold, ink) = match bar.row.peer {
            Kind::Weir => (true, color(Kind::Weir)),
            _ => (false, SOFT_INK),
        };
        let size = Size { bold, ..size };
        // Not over the number of the bar beside it.
        let half = bar.pitch.min(LABEL_WIDTH) / 2;
        area.draw(&Rectangle::new([(middle - half, top - 17), (middle + half, top - 2)], WHITE.filled()))?;
        text(area, &number, (middle, top - 16), size, &ink, HPos::Center)?;
        if !self.scenario.figures.contains(&Figure::Failed) {
            return Ok(());
        }
        let ink = if bar.row.failed > 0 { ALARM } else { SOFT_INK };
        area.draw(&Rectangle::new([(middle - 28, top - 32), (middle + 28, top - 18)], WHITE.filled()))?;
        text(area, &format!("{} failed", grouped(bar.row.failed)), (middle, top - 31), SMALLEST, &ink, HPos::Center)
    }

    fn grid(&self, area: &Area, plot: &Plot) -> Result<()> {
        for line in (0..).map(|count| f64::from(count) * GRID_STEP).take_while(|ratio| *ratio <= self.top) {
            let y = plot.y(line);
            area.draw(&PathElement::new([(plot.left, y), (plot.right, y)], GRID.stroke_width(1)))?;
        }
        Ok(())
    }
}

/// A peer's in a case.
struct Bar<'run> {
    row: &'run Row,
    ratio: f64,
    left: i32,
    /// Its width and the gap to the next.
    pitch: i32,
}

impl Bar<'_> {
    fn draw(&self, area: &Area, plot: &Plot) -> Result<()> {
        let (left, right, top) = (self.left + 2, self.left + self.pitch - 2, plot.y(self.ratio));
        area.draw(&Rectangle::new([(left, top), (right, plot.bottom)], color(self.row.peer).filled()))?;
        if self.ratio <= plot.scale {
            return Ok(());
        }
        // A gap says that it goes on beyond the axis.
        let y = top + 14;
        let gap = vec![(left - 1, y + 4), (right + 1, y - 4), (right + 1, y + 1), (left - 1, y + 9)];
        area.draw(&Polygon::new(gap, WHITE.filled()))?;
        Ok(())
    }
}

/// Where ratios lie.
struct Plot {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    /// Ratio at `top`.
    scale: f64,
}

impl Plot {
    /// Of what lies beyond the axis: its end.
    #[allow(clippy::cast_possible_truncation, reason = "a pixel within the panel")]
    fn y(&self, ratio: f64) -> i32 {
        self.bottom - (f64::from(self.bottom - self.top) * ratio.clamp(0.0, self.scale) / self.scale).round() as i32
    }
}

fn header(area: &Area, panels: &[Panel]) -> Result<()> {
    text(area, "Weir beside its peers, one core", (MARGIN, 26), HEADLINE, &INK, HPos::Left)?;
    let note = "Medians of ratios taken within a round; lower is better";
    text(area, note, (MARGIN, 56), SMALL, &SOFT_INK, HPos::Left)?;
    let drawn = |kind: &Kind| panels.iter().flat_map(|panel| &panel.cases).any(|case| case.row(*kind).is_some());
    let legend: Vec<Kind> = LEGEND.into_iter().filter(drawn).collect();
    let width =
        |kind: Kind| Ok::<i32, std::num::TryFromIntError>(20 + 8 * i32::try_from(title(kind).len())? + LEGEND_GAP);
    let mut left = WIDTH - MARGIN + LEGEND_GAP;
    for &kind in &legend {
        left -= width(kind)?;
    }
    for kind in legend {
        area.draw(&Rectangle::new([(left, 30), (left + 14, 44)], color(kind).filled()))?;
        text(area, title(kind), (left + 20, 30), SMALL, &INK, HPos::Left)?;
        left += width(kind)?;
    }
    Ok(())
}

/// Upper edge at `at.1`.
fn text(area: &Area, words: &str, at: (i32, i32), size: Size, ink: &RGBColor, align: HPos) -> Result<()> {
    let style = if size.bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = (FONT, size.pixels).into_font().style(style);
    let style = TextStyle::from(font).color(ink).pos(Pos::new(align, VPos::Top));
    area.draw(&Text::new(words, at, style))?;
    Ok(())
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Weir => "Weir",
        Kind::Floor => "floor",
        Kind::Nginx => "nginx",
        Kind::Haproxy => "HAProxy",
        Kind::Envoy => "Envoy",
        Kind::H2o => "h2o",
    }
}

/// Weir stands out; the others tell apart by lightness, so that a print without colour does too.
fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Weir => RGBColor(214, 73, 20),
        Kind::Floor => RGBColor(214, 219, 224),
        Kind::Nginx => RGBColor(152, 170, 188),
        Kind::Haproxy => RGBColor(103, 128, 153),
        Kind::Envoy => RGBColor(62, 86, 112),
        Kind::H2o => RGBColor(32, 48, 68),
    }
}

const LEGEND: [Kind; 6] = [Kind::Weir, Kind::Floor, Kind::Nginx, Kind::Haproxy, Kind::Envoy, Kind::H2o];

/// Pixels as the backend takes them: about 1.24 of the letters' size.
#[derive(Clone, Copy)]
struct Size {
    pixels: u32,
    bold: bool,
}

const HEADLINE: Size = Size { pixels: 28, bold: true };
const TITLE: Size = Size { pixels: 20, bold: true };
const SMALL: Size = Size { pixels: 16, bold: false };
const SMALLEST: Size = Size { pixels: 14, bold: false };
/// Whatever the reader's machine has.
const FONT: &str = "sans-serif";

const INK: RGBColor = RGBColor(33, 37, 41);
const SOFT_INK: RGBColor = RGBColor(92, 99, 106);
const GRID: RGBColor = RGBColor(233, 236, 239);
const ALARM: RGBColor = RGBColor(190, 30, 45);

const WIDTH: i32 = 1200;
const MARGIN: i32 = 36;
const HEADER: i32 = 104;
const GAP: i32 = 56;
const PANEL_WIDTH: i32 = (WIDTH - 2 * MARGIN - GAP) / 2;
const PANEL_HEIGHT: i32 = 312;
const GROUP_GAP: i32 = 22;
/// Of three digits and a point in small letters.
const LABEL_WIDTH: i32 = 28;
const BAR_PITCH_MAX: i32 = 62;
const LEGEND_GAP: i32 = 18;
const GRID_STEP: f64 = 0.5;
/// The axis ends between these; a longer bar is cut and keeps its number.
const TOP_MIN: f64 = 1.2;
const TOP_MAX: f64 = 2.0;

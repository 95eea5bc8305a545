//! What all charts share: grid and labels, lines plain and dashed, a legend.

use plotters::prelude::*;

use super::axis::Axis;
use super::canvas::{self, Area, Drawn, HEADING, PALE, QUIET, Side, failed, px, px_u};

/// Pixels left of a chart for the labels of its axis.
pub(super) const LEFT: u32 = 70;
/// Pixels above a chart for its heading.
pub(super) const TOP: u32 = 30;
/// Pixels below.
const BOTTOM: u32 = 26;
/// Pixels right of it, for half a label.
const RIGHT: u32 = 36;

/// A pair of axes in an area.
pub(super) struct Chart<'a, 'b> {
    context: ChartContext<'b, SVGBackend<'a>, Cartesian2d<Axis, Axis>>,
}

/// How a curve looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub colour: RGBColor,
    /// Quarters of a pixel.
    pub width: u32,
    pub dashed: bool,
}

/// Up to so many points of a curve are marked.
const MARKED_MAX: usize = 40;
/// Radius of a mark, in quarters of a pixel.
const MARK: u32 = 10;

impl<'a> Chart<'a, '_> {
    /// Axes, with `shade` from one place of x to another below the grid.
    pub fn new(area: &Area<'a>, x: Axis, y: Axis, shades: &[(f64, f64)]) -> Drawn<Self> {
        let mut builder = ChartBuilder::on(area);
        builder.margin_top(px_u(TOP)).margin_right(px_u(RIGHT));
        builder.x_label_area_size(px_u(BOTTOM)).y_label_area_size(px_u(LEFT));
        let mut context = builder.build_cartesian_2d(x, y).map_err(failed)?;
        let ceiling = context.y_range().end;
        let shades =
            shades.iter().map(|(from, to)| Rectangle::new([(*from, 0.0), (*to, ceiling)], canvas::SHADE.filled()));
        context.draw_series(shades).map_err(failed)?;
        let mut mesh = context.configure_mesh();
        mesh.label_style(canvas::style(QUIET)).axis_style(canvas::GREY.stroke_width(px_u(1)));
        mesh.bold_line_style(PALE.stroke_width(3)).light_line_style(TRANSPARENT);
        mesh.set_all_tick_mark_size(px(4)).draw().map_err(failed)?;
        Ok(Chart { context })
    }

    /// Where its axis of values ends.
    pub fn ceiling(&self) -> f64 {
        self.context.y_range().end
    }

    /// Joins `points` in data. Few of them are marked as well.
    pub fn curve(&mut self, points: &[(f64, f64)], stroke: Stroke, marked: bool) -> Drawn {
        if marked && points.len() <= MARKED_MAX || points.len() == 1 {
            let dot = |point: &(f64, f64)| Circle::new(*point, MARK, stroke.colour.filled());
            self.context.draw_series(points.iter().map(dot)).map_err(failed)?;
        }
        let style = stroke.colour.stroke_width(stroke.width);
        if stroke.dashed {
            let dashed = DashedLineSeries::new(points.to_vec(), px(7), px(4), style);
            self.context.draw_series(dashed).map_err(failed)?;
        } else {
            self.context.draw_series(LineSeries::new(points.to_vec(), style)).map_err(failed)?;
        }
        Ok(())
    }

    /// Fills between two corners in data.
    pub fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn {
        self.context.draw_series([Rectangle::new([from, to], colour.filled())]).map_err(failed)?;
        Ok(())
    }
}

/// An entry of a legend.
pub(super) enum Entry {
    /// A line.
    Line(&'static str, Stroke),
    /// A filled box.
    Fill(&'static str, RGBColor),
}

impl Entry {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Entry::Line(name, _) | Entry::Fill(name, _) => name,
        }
    }
}

/// The heading above a chart, with its legend behind it.
pub(super) fn heading(area: &Area, title: &str, legend: &[Entry]) -> Drawn {
    const MIDDLE: i32 = 14;
    canvas::text(area, title, HEADING, Side::Left, (LEFT.cast_signed(), MIDDLE), 600)?;
    let mut x = LEFT.cast_signed() + canvas::text_width(title, HEADING) + 18;
    for entry in legend {
        match entry {
            Entry::Line(_, stroke) => sample(area, (x, MIDDLE), *stroke)?,
            Entry::Fill(_, colour) => {
                let corners = [(px(x + 4), px(MIDDLE - 6)), (px(x + 20), px(MIDDLE + 6))];
                area.draw(&Rectangle::new(corners, colour.filled())).map_err(failed)?;
            }
        }
        let name = entry.name();
        canvas::text(area, name, QUIET, Side::Left, (x + SAMPLE + 6, MIDDLE), 300)?;
        x += SAMPLE + 6 + canvas::text_width(name, QUIET) + 14;
    }
    Ok(())
}

/// Says why a chart is empty.
pub(super) fn in_the_middle(area: &Area, content: &str) -> Drawn {
    let (width, height) = area.dim_in_pixel();
    let middle = (width.cast_signed() / px(2), height.cast_signed() / px(2));
    canvas::text(area, content, QUIET, Side::Middle, middle, 300)
}

/// Length of a line's sample in a legend, pixels.
pub(super) const SAMPLE: i32 = 24;

/// A short piece of a line, from `at` to the right.
pub(super) fn sample(area: &Area, at: (i32, i32), stroke: Stroke) -> Drawn {
    let dashes: &[(i32, i32)] = if stroke.dashed { &[(0, 7), (11, 18), (22, 24)] } else { &[(0, SAMPLE)] };
    for (from, to) in dashes {
        let ends = vec![(px(at.0 + from), px(at.1)), (px(at.0 + to), px(at.1))];
        area.draw(&PathElement::new(ends, stroke.colour.stroke_width(stroke.width))).map_err(failed)?;
    }
    Ok(())
}

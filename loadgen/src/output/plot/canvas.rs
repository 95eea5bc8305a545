//! The sheet a figure is drawn on: its size, its type sizes and colours, and the SVG around what plotters draws.
//!
//! plotters puts everything on whole units, too coarse for a smooth curve at one unit a pixel: four make a pixel here, and the
//! view box scales them down.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::output::OutputError;
use crate::output::units::printable;

/// A part of the sheet.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing gives. plotters' own error type does not outlive its backend.
pub(super) type Drawn<T = ()> = Result<T, OutputError>;

/// Units of the view box in a pixel.
const UNITS: i32 = 4;

// Colours that stay apart for colour-blind readers and in print (Okabe and Ito, "Color Universal Design").
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const GREY: RGBColor = RGBColor(102, 102, 102);
pub(super) const PALE: RGBColor = RGBColor(225, 225, 225);
pub(super) const SHADE: RGBColor = RGBColor(240, 240, 240);

/// Pixels as units of the view box.
pub(super) const fn px(pixels: i32) -> i32 {
    pixels * UNITS
}

/// Pixels, where plotters wants what is never negative.
pub(super) const fn px_u(pixels: u32) -> u32 {
    pixels * UNITS.unsigned_abs()
}

/// Draws a figure of `size` pixels, white, and named `title` for those who hear it read.
pub(super) fn sheet(size: (u32, u32), title: &str, draw: impl FnOnce(&Area) -> Drawn) -> Drawn<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (px_u(size.0), px_u(size.1))).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        draw(&root)?;
        root.present().map_err(failed)?;
    }
    let (_, body) = svg.split_once('\n').unwrap_or_default();
    let head = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{}" height="{}" viewBox="0 0 {} {}">"#,
        size.0,
        size.1,
        px_u(size.0),
        px_u(size.1)
    );
    Ok(format!("{head}\n<title>{}</title>\n{body}", escaped(title)))
}

/// A fault of the drawing.
pub(super) fn failed(error: impl std::fmt::Display) -> OutputError {
    OutputError::Draw(error.to_string())
}

/// `text` as SVG and HTML may hold it.
pub(in crate::output) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text, usize::MAX).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to write these two.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// How a text stands at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub pixels: u32,
    pub bold: bool,
    pub colour: RGBColor,
}

pub(super) const TITLE: Type = Type { pixels: 20, bold: true, colour: INK };
pub(super) const HEADING: Type = Type { pixels: 14, bold: true, colour: INK };
pub(super) const BODY: Type = Type { pixels: 13, bold: false, colour: INK };
pub(super) const QUIET: Type = Type { pixels: 13, bold: false, colour: GREY };
pub(super) const NOTE: Type = Type { pixels: 13, bold: true, colour: VERMILLION };

/// Text around the vertical middle `at`, pixels of `area`. Cut to `width` pixels.
pub(super) fn text(area: &Area, content: &str, look: Type, side: Side, at: (i32, i32), width: u32) -> Drawn {
    let content = printable(content, chars_max(look, width));
    let content: String =
        content.chars().map(|c| if matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }).collect();
    let side = match side {
        Side::Left => HPos::Left,
        Side::Middle => HPos::Center,
        Side::Right => HPos::Right,
    };
    let style = style(look).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(content, (px(at.0), px(at.1)), style)).map_err(failed)
}

/// `content` in lines that `text` does not cut.
pub(super) fn wrapped(content: &str, look: Type, width: u32) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in content.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > chars_max(look, width) {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// plotters' style of a text.
pub(super) fn style(look: Type) -> TextStyle<'static> {
    // The backend of plotters writes a size of 1.24 as 1.
    let size = f64::from(px_u(look.pixels)) * 1.24;
    let weight = if look.bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::SansSerif, size, weight).color(&look.colour)
}

/// Pixels that `content` takes in a wide sans-serif.
pub(super) fn text_width(content: &str, look: Type) -> i32 {
    let chars = u32::try_from(content.chars().count()).unwrap_or(u32::MAX);
    (chars.saturating_mul(char_width(look)) / 100).cast_signed()
}

fn chars_max(look: Type, width: u32) -> usize {
    (width * 100 / char_width(look)) as usize
}

/// Hundredths of a pixel: 0.57 em, bold 0.62.
fn char_width(look: Type) -> u32 {
    look.pixels * if look.bold { 62 } else { 57 }
}

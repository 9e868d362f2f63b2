//! From a drawing to a file: SVG as it is, PNG through a renderer that needs no fonts of the machine.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use resvg::{tiny_skia, usvg};
use ttf_parser::Face;

use crate::failure::{Failure, Outcome};

/// The typeface of every text, with substitutes of the same width for viewers of SVG that lack it.
pub const FONT: &str = "DejaVu Sans, Verdana, sans-serif";

/// Units of a drawing per pixel of the page. Plotters places everything at whole units, which would make
/// curves at one unit a pixel look like stairs.
const UNITS_PER_PIXEL: u32 = 2;

/// What is drawn on.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Result of drawing. Plotters' own errors are of many types, and only their text is useful.
pub type Drawn<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// File formats, by the end of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Svg,
    Png,
    Html,
}

impl Format {
    /// The format that a file's name asks for.
    pub fn of(path: &Path) -> Outcome<Format> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("svg") => Ok(Format::Svg),
            Some("png") => Ok(Format::Png),
            Some("html") => Ok(Format::Html),
            _ => Err(Failure::Usage(format!("{}: the file must end in .svg, .png or .html", path.display()))),
        }
    }
}

/// Draws on a white area of so many units and returns the SVG. `about` is its title for those who do not
/// see it.
pub fn draw((width, height): (u32, u32), about: &str, paint: impl FnOnce(&Area) -> Drawn) -> Outcome<String> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok());
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let painted = area.fill(&WHITE).map_err(Into::into).and_then(|()| paint(&area));
        painted
            .and_then(|()| Ok(area.present()?))
            .map_err(|error| Failure::Failed(format!("the plot cannot be drawn: {error}")))?;
    }
    let drawn_at = format!("<svg width=\"{width}\" height=\"{height}\"");
    let shown_at = format!(
        "<svg role=\"img\" width=\"{}\" height=\"{}\"",
        width / UNITS_PER_PIXEL,
        height / UNITS_PER_PIXEL
    );
    let svg = svg.replacen(&drawn_at, &shown_at, 1);
    let about = about.replace('&', "&amp;").replace('<', "&lt;");
    // The first element ends with its own line.
    Ok(svg.replacen(">\n", &format!(">\n<title>{about}</title>\n"), 1))
}

/// Writes a drawing, or a page, to a file.
pub fn save(drawn: &str, path: &Path) -> Outcome {
    let bytes = match Format::of(path)? {
        Format::Svg | Format::Html => drawn.as_bytes().to_vec(),
        Format::Png => png(drawn)?,
    };
    std::fs::write(path, bytes).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))
}

/// The drawing as PNG, one pixel a unit.
fn png(svg: &str) -> Outcome<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("the PNG cannot be made: {error}"));
    let mut options = usvg::Options::default();
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(&spell_out(svg), &options).map_err(|e| failed(&e))?;
    let scale = UNITS_PER_PIXEL as f32;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).round() as u32, (size.height() * scale).round() as u32);
    let mut pixels =
        tiny_skia::Pixmap::new(width, height).ok_or_else(|| failed(&format_args!("{width}x{height}")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(&e))
}

/// Puts `U+4F60` in place of each character that the typeface lacks, which would be an empty box.
pub fn spell_out(svg: &str) -> String {
    let Ok(face) = Face::parse(dejavu::sans::regular(), 0) else { return svg.to_owned() };
    let mut text = String::with_capacity(svg.len());
    for c in svg.chars() {
        if c.is_control() || face.glyph_index(c).is_some() {
            text.push(c);
        } else {
            text.push_str(&format!("U+{:04X}", u32::from(c)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn() -> String {
        draw((200, 100), "A <plot> & more", |area| {
            area.draw(&Text::new("a < b & 你", (10, 10), (FONT, 30)))?;
            area.draw(&Rectangle::new([(100, 50), (150, 90)], BLACK.filled()))?;
            Ok(())
        })
        .unwrap_or_else(|_| panic!("drawing failed"))
    }

    #[test]
    fn a_drawing_names_itself_and_is_shown_at_half_its_units() {
        let svg = drawn();
        assert!(
            svg.starts_with("<svg role=\"img\" width=\"100\" height=\"50\" viewBox=\"0 0 200 100\""),
            "{svg}"
        );
        assert!(svg.contains("<title>A &lt;plot> &amp; more</title>"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; 你"), "{svg}");
    }

    #[test]
    fn a_png_has_the_size_and_the_colours_of_the_drawing() {
        let bytes = png(&drawn()).unwrap_or_else(|_| panic!("no PNG"));
        let image = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((image.width(), image.height()), (200, 100));
        let at = |x, y| image.pixel(x, y).unwrap().demultiply();
        assert_eq!((at(195, 5).red(), at(120, 70).red()), (255, 0));
        let inked = (0..90).flat_map(|x| (0..45).map(move |y| (x, y))).filter(|&(x, y)| at(x, y).red() < 128);
        assert!(inked.count() > 100, "the text is drawn without a font of the machine");
    }

    #[test]
    fn characters_that_the_typeface_lacks_are_spelt_out() {
        assert_eq!(spell_out("<text>\né → 你\n</text>"), "<text>\né → U+4F60\n</text>");
    }

    #[test]
    fn the_end_of_the_name_is_the_format() {
        let of = |name| Format::of(Path::new(name)).ok();
        assert_eq!(of("a.svg"), Some(Format::Svg));
        assert_eq!(of("a.b.PNG"), Some(Format::Png));
        for name in ["a.gif", "svg", "a.", "a.svg.gz"] {
            let Err(Failure::Usage(message)) = Format::of(Path::new(name)) else { panic!("{name}") };
            assert_eq!(message, format!("{name}: the file must end in .svg, .png or .html"));
        }
    }
}

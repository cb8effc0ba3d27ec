//! Shapes and text of SVG. Coordinates and sizes are whole pixels.

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

/// Width of a character by the size of its font: fonts without serifs are narrower than this on average.
const ADVANCE: f64 = 0.58;

/// A picture that is being drawn.
pub struct Canvas {
    writer: Writer<Vec<u8>>,
}

/// A rectangle.
#[derive(Debug, Clone, Copy)]
pub struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

impl Rect {
    pub fn middle(self) -> i32 {
        self.x + self.width / 2
    }

    pub fn bottom(self) -> i32 {
        self.y + self.height
    }
}

impl Canvas {
    /// Begins a picture that is described by `title` to those who do not see it.
    pub fn new(width: i32, height: i32, title: &str, style: &str) -> Self {
        let mut canvas = Self {
            writer: Writer::new_with_indent(Vec::new(), b' ', 1),
        };
        let mut root = BytesStart::new("svg");
        let size = format!("0 0 {width} {height}");
        root.push_attribute(("xmlns", "http://www.w3.org/2000/svg"));
        root.push_attribute(("viewBox", size.as_str()));
        root.push_attribute(("width", width.to_string().as_str()));
        root.push_attribute(("height", height.to_string().as_str()));
        root.push_attribute(("role", "img"));
        root.push_attribute(("aria-label", title));
        canvas.event(Event::Start(root));
        canvas.element("title", &[], title);
        canvas.element("style", &[], style);
        canvas
    }

    /// A rectangle with round corners.
    pub fn rect(&mut self, class: &str, rect: Rect, radius: i32) {
        let attributes = [
            ("class", class.to_owned()),
            ("x", rect.x.to_string()),
            ("y", rect.y.to_string()),
            ("width", rect.width.to_string()),
            ("height", rect.height.to_string()),
            ("rx", radius.to_string()),
        ];
        self.empty("rect", &attributes);
    }

    /// A line through these points.
    pub fn line(&mut self, class: &str, points: &[(i32, i32)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        self.empty(
            "polyline",
            &[("class", class.to_owned()), ("points", points.join(" "))],
        );
    }

    /// Text whose baseline begins at `x`, `y`, cut so that it is no wider than `most`.
    pub fn text(&mut self, class: &str, x: i32, y: i32, size: i32, most: i32, text: &str) {
        self.text_at(class, x, y, size, &fitting(text, size, most), "start");
    }

    /// The same, around `x`.
    pub fn centred(&mut self, class: &str, x: i32, y: i32, size: i32, most: i32, text: &str) {
        self.text_at(class, x, y, size, &fitting(text, size, most), "middle");
    }

    /// The same, ending at `x`.
    pub fn ending(&mut self, class: &str, x: i32, y: i32, size: i32, most: i32, text: &str) {
        self.text_at(class, x, y, size, &fitting(text, size, most), "end");
    }

    fn text_at(&mut self, class: &str, x: i32, y: i32, size: i32, text: &str, anchor: &str) {
        let attributes = [
            ("class", class.to_owned()),
            ("x", x.to_string()),
            ("y", y.to_string()),
            ("font-size", size.to_string()),
            ("text-anchor", anchor.to_owned()),
        ];
        self.element("text", &attributes, text);
    }

    /// Begins what is shown with `title` where the pointer rests on it.
    pub fn begin(&mut self, title: &str) {
        self.event(Event::Start(BytesStart::new("g")));
        self.element("title", &[], title);
    }

    /// Ends that.
    pub fn end(&mut self) {
        self.event(Event::End(BytesEnd::new("g")));
    }

    /// The whole of it.
    pub fn finish(mut self) -> String {
        self.event(Event::End(BytesEnd::new("svg")));
        let mut text = String::from_utf8_lossy(&self.writer.into_inner()).into_owned();
        text.push('\n');
        text
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, String)]) {
        self.event(Event::Empty(start(name, attributes)));
    }

    fn element(&mut self, name: &str, attributes: &[(&str, String)], text: &str) {
        self.event(Event::Start(start(name, attributes)));
        self.event(Event::Text(BytesText::new(text)));
        self.event(Event::End(BytesEnd::new(name)));
    }

    fn event(&mut self, event: Event<'_>) {
        // It writes into memory, which cannot fail.
        self.writer.write_event(event).ok();
    }
}

fn start<'a>(name: &'a str, attributes: &[(&str, String)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (name, value) in attributes {
        start.push_attribute((*name, value.as_str()));
    }
    start
}

/// About how wide `text` is.
pub fn width(text: &str, size: i32) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * ADVANCE).ceil() as i32
}

/// `text`, or as much of it as is no wider than `most`.
fn fitting(text: &str, size: i32, most: i32) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let characters = (f64::from(most) / (f64::from(size) * ADVANCE)) as usize;
    let mut cut: String = text.chars().take(characters.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_cut_to_its_room() {
        let mut canvas = Canvas::new(100, 50, "a \"b\" & <c>", "text { fill: red }");
        canvas.text("x", 0, 10, 10, 1000, "</text><script>alert(1)</script>");
        canvas.text("x", 0, 20, 10, 30, "a long text");
        canvas.begin("<&>");
        canvas.end();
        insta::assert_snapshot!(canvas.finish());
    }

    #[test]
    fn what_fits_is_whole() {
        assert_eq!(fitting("red-07", 10, width("red-07", 10)), "red-07");
        assert_eq!(fitting("red-07", 10, 0), "…");
        assert_eq!(fitting("", 10, 0), "");
    }
}

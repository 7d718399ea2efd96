//! What charts are made of.

use std::fmt::{self, Display};

/// A coordinate, with as many digits as a screen shows.
#[derive(Clone, Copy)]
pub struct At(pub f64);

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 10.0).round() / 10.0;
        // Never NaN or infinite in a file.
        if rounded.is_finite() { write!(f, "{rounded}") } else { f.write_str("0") }
    }
}

/// Where a share (0 to 1) is on a square plot whose origin is at the lower left.
#[derive(Clone, Copy)]
pub struct Plot {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Length of an edge.
    pub size: f64,
}

impl Plot {
    /// The horizontal place.
    pub fn right(self, share: f64) -> At {
        At(self.x + self.size * share.clamp(0.0, 1.0))
    }

    /// The vertical place.
    pub fn up(self, share: f64) -> At {
        At(self.y + self.size * (1.0 - share.clamp(0.0, 1.0)))
    }

    /// Frame, grid, numbers at the axes, and what they mean.
    pub fn axes(self, across: &str, up: &str) -> String {
        let Self { x, y, size } = self;
        let (end, bottom, middle) = (At(x + size), At(y + size), At(x + size / 2.0));
        let mut axes = format!("<rect class=\"frame\" x=\"{x}\" y=\"{y}\" width=\"{size}\" height=\"{size}\"/>");
        for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let (at_x, at_y) = (self.right(tick), self.up(tick));
            if tick > 0.0 && tick < 1.0 {
                axes += &format!("<path class=\"grid\" d=\"M{x} {at_y}H{end}M{at_x} {y}V{bottom}\"/>");
            }
            axes += &format!(
                "<text class=\"tick\" x=\"{at_x}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>\
                 <text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{tick}</text>",
                At(y + size + 14.0),
                At(x - 6.0),
                At(at_y.0 + 3.5),
            );
        }
        let low = At(y + size + 30.0);
        let turned = format!("translate({} {}) rotate(-90)", At(x - 38.0), At(y + size / 2.0));
        axes + &format!(
            "<text class=\"axis\" x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">{across}</text>\
             <text class=\"axis\" transform=\"{turned}\" text-anchor=\"middle\">{up}</text>"
        )
    }
}

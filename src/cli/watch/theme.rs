//! How things look: with colours that any terminal has, or without any.

use ratatui::style::{Color, Modifier, Style};

/// A way of telling things apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// The sixteen colours, as the terminal has set them.
    Coloured,
    /// Bold, dim, underlined and reversed alone.
    Plain,
}

/// What is to be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The bar on top.
    Bar,
    /// A heading.
    Head,
    /// A name of a figure, a unit: what may be overlooked.
    Quiet,
    /// What matters.
    Strong,
    /// As it should be.
    Good,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
    /// Where the cursor is.
    Cursor,
}

impl Theme {
    /// The style of a role.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let coloured = self == Self::Coloured;
        match role {
            Role::Bar | Role::Cursor => plain.add_modifier(Modifier::REVERSED),
            Role::Head if coloured => plain.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            Role::Head | Role::Strong => plain.add_modifier(Modifier::BOLD),
            Role::Quiet => plain.add_modifier(Modifier::DIM),
            Role::Good if coloured => plain.fg(Color::Green),
            Role::Good => plain,
            Role::Warning if coloured => plain.fg(Color::Yellow),
            Role::Warning => plain.add_modifier(Modifier::BOLD),
            Role::Critical if coloured => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            Role::Critical => plain.add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
        }
    }

    /// The role of a severity or status of the wire.
    pub fn role(word: &str) -> Role {
        match word {
            "critical" | "stuck" | "blocked" | "stop" => Role::Critical,
            "warning" | "degraded" | "silent" | "escalate" | "verify" | "open" | "memory" => Role::Warning,
            "progressing" | "led" => Role::Good,
            "idle" | "info" => Role::Quiet,
            _ => Role::Strong,
        }
    }
}

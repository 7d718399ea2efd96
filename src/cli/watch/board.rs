//! What the person at the terminal sees and does: cursor, order, filter, views.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::picture::Picture;
use super::rows::{self, Row, Sort};

/// Which list the keys move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Focus {
    /// The agents.
    #[default]
    Agents,
    /// The insights.
    Insights,
}

/// What fills the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum View {
    /// Agents and insights.
    #[default]
    Lists,
    /// One agent; how many lines are scrolled away.
    Agent(String, u16),
    /// The keys.
    Help,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// On.
    On,
    /// To the end.
    Quit,
}

/// The state of the screen.
#[derive(Debug, Default)]
pub struct Board {
    /// What fills it.
    pub view: View,
    /// Which list the keys move in.
    pub focus: Focus,
    /// The order of agents.
    pub sort: Sort,
    /// Whether that is turned round.
    pub reversed: bool,
    /// Which agents and insights are shown.
    pub filter: String,
    /// Whether the filter is being written.
    pub typing: bool,
    /// Whether the picture stands still.
    pub paused: bool,
    /// The agent with the cursor: by name, so that the cursor stays with it.
    agent: Option<String>,
    /// The insight with the cursor.
    insight: Option<String>,
    /// Lines of a list that fit on the screen, as drawn last.
    pub page: usize,
    /// First agent and insight on the screen.
    pub tops: (usize, usize),
}

/// An open insight.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its public form.
    pub insight: &'a serde_json::Value,
}

impl Open<'_> {
    /// A word of it; empty where it has none.
    pub fn word(&self, key: &str) -> &str {
        self.insight[key].as_str().unwrap_or_default()
    }
}

impl Board {
    /// The agents as they are shown.
    pub fn rows<'a>(&self, picture: &'a Picture) -> Vec<Row<'a>> {
        rows::rows(picture, &self.filter, self.sort, self.reversed)
    }

    /// The insights as they are shown: the worst first, of equally bad ones the newest.
    pub fn insights<'a>(&self, picture: &'a Picture) -> Vec<Open<'a>> {
        let shown = |insight: &Open<'a>| match insight.insight["agent"].as_str() {
            Some(agent) => rows::passes(&self.filter, agent, picture.agent(agent)),
            None => self.filter.is_empty(),
        };
        let mut all: Vec<_> = picture.insights().map(|(id, insight)| Open { id, insight }).filter(shown).collect();
        // They come by id, which rises with time.
        all.reverse();
        all.sort_by_key(|open| std::cmp::Reverse(rows::weight(open.word("severity"))));
        all
    }

    /// Where the cursor is among agents: the first one, where its agent is gone or none was chosen.
    pub fn agent_cursor(&self, rows: &[Row<'_>]) -> usize {
        self.agent.as_ref().and_then(|name| rows.iter().position(|row| row.name == name)).unwrap_or(0)
    }

    /// Where the cursor is among insights.
    pub fn insight_cursor(&self, insights: &[Open<'_>]) -> usize {
        self.insight.as_ref().and_then(|id| insights.iter().position(|open| open.id == id)).unwrap_or(0)
    }

    /// Does what a key asks for.
    pub fn press(&mut self, key: KeyEvent, picture: &Picture) -> Go {
        if key.kind == KeyEventKind::Release {
            return Go::On;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Go::Quit,
            _ if self.typing => self.write(key.code),
            KeyCode::Char('q') => return Go::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
                self.view = if self.view == View::Help { View::Lists } else { View::Help };
            }
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.back(),
            _ if self.view == View::Help => self.view = View::Lists,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Char('/') => {
                self.view = View::Lists;
                self.typing = true;
            }
            KeyCode::Char('s') => self.sort = self.sort.step(false),
            KeyCode::Char('S') => self.sort = self.sort.step(true),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = if self.focus == Focus::Agents { Focus::Insights } else { Focus::Agents };
            }
            KeyCode::Enter | KeyCode::Right => self.open(picture),
            code => {
                if let Some(by) = self.steps(code) {
                    self.go(by, picture);
                }
            }
        }
        Go::On
    }

    fn write(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if !c.is_control() && self.filter.len() < 128 => self.filter.push(c),
            _ => {}
        }
    }

    fn back(&mut self) {
        match self.view {
            View::Lists => self.filter.clear(),
            View::Agent(..) | View::Help => self.view = View::Lists,
        }
    }

    fn steps(&self, code: KeyCode) -> Option<isize> {
        let page = isize::try_from(self.page.max(1)).unwrap_or(1);
        Some(match code {
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::PageDown => page,
            KeyCode::PageUp => -page,
            KeyCode::Home | KeyCode::Char('g') => isize::MIN / 2,
            KeyCode::End | KeyCode::Char('G') => isize::MAX / 2,
            _ => return None,
        })
    }

    fn go(&mut self, by: isize, picture: &Picture) {
        if let View::Agent(_, scrolled) = &mut self.view {
            let to = scrolled.saturating_add_signed(i16::try_from(by.clamp(-1000, 1000)).unwrap_or(0));
            *scrolled = to.min(200);
            return;
        }
        let moved = |from: usize, count: usize| from.saturating_add_signed(by).min(count.saturating_sub(1));
        match self.focus {
            Focus::Agents => {
                let rows = self.rows(picture);
                let to = moved(self.agent_cursor(&rows), rows.len());
                self.agent = rows.get(to).map(|row| row.name.to_owned());
            }
            Focus::Insights => {
                let insights = self.insights(picture);
                let to = moved(self.insight_cursor(&insights), insights.len());
                self.insight = insights.get(to).map(|open| open.id.to_owned());
            }
        }
    }

    fn open(&mut self, picture: &Picture) {
        let agent = match self.focus {
            Focus::Agents => {
                let rows = self.rows(picture);
                rows.get(self.agent_cursor(&rows)).map(|row| row.name.to_owned())
            }
            Focus::Insights => {
                let insights = self.insights(picture);
                let open = insights.get(self.insight_cursor(&insights));
                open.and_then(|open| Some(open.insight["agent"].as_str()?.to_owned()))
            }
        };
        if let Some(agent) = agent {
            self.agent = Some(agent.clone());
            self.view = View::Agent(agent, 0);
        }
    }
}

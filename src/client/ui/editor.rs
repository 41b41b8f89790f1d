//! The line editor: a prompt whose text changes while somebody types, and a history that never holds a password.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reedline::{
    Color, ExternalPrinter, FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, Prompt,
    PromptEditMode, PromptHistorySearch, Reedline, Result, SearchQuery,
};

use super::parse::may_be_remembered;

/// How soon a line to print, a changed prompt or the end is noticed.
const POLL: Duration = Duration::from_millis(25);
/// Lines that can be called back.
const HISTORY_LINES: usize = 500;

/// A line editor that prints what comes through `printer` above its prompt, and gives up its line when `stop` is set.
///
/// # Errors
/// When there is no memory for a history.
pub fn editor(printer: ExternalPrinter<String>, stop: Arc<AtomicBool>, colour: bool) -> Result<Reedline> {
    let history = Remembered(FileBackedHistory::new(HISTORY_LINES)?);
    Ok(Reedline::create()
        .with_external_printer(printer)
        .with_break_signal(stop)
        .with_poll_interval(POLL)
        .with_history(Box::new(history))
        .with_ansi_colors(colour))
}

/// A prompt that reads its text anew each time it is painted.
#[derive(Clone, Debug)]
pub struct LivePrompt(pub Arc<Mutex<String>>);

impl Prompt for LivePrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        // A text is whole at any moment: it is replaced, never edited.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        " > ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!(" (search: {}) > ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        Color::Default
    }

    fn get_indicator_color(&self) -> Color {
        Color::Default
    }
}

/// A history in memory that passes over what may hold a password.
#[derive(Debug)]
struct Remembered(FileBackedHistory);

impl History for Remembered {
    fn save(&mut self, line: HistoryItem) -> Result<HistoryItem> {
        if may_be_remembered(&line.command_line) { self.0.save(line) } else { Ok(line) }
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(&mut self, id: HistoryItemId, updater: &dyn Fn(HistoryItem) -> HistoryItem) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use reedline::SearchDirection;

    use super::*;

    #[test]
    fn passwords_never_enter_the_history() {
        let mut history = Remembered(FileBackedHistory::new(HISTORY_LINES).unwrap());
        for line in ["list", "login alice secret123", "adduser a secret123", "passwd x secret123", "lgoin a secret123"]
        {
            history.save(HistoryItem::from_command_line(line)).unwrap();
        }
        let all = history.search(SearchQuery::everything(SearchDirection::Forward, None)).unwrap();
        let lines: Vec<String> = all.into_iter().map(|item| item.command_line).collect();
        assert_eq!(lines, ["list"]);
    }

    #[test]
    fn the_prompt_is_read_anew_each_time() {
        let text = Arc::new(Mutex::new("alice".to_owned()));
        let prompt = LivePrompt(Arc::clone(&text));
        assert_eq!(prompt.render_prompt_left(), "alice");
        *text.lock().unwrap() = "alice · server down 4 s".to_owned();
        assert_eq!(prompt.render_prompt_left(), "alice · server down 4 s");
    }
}

//! Every command there is, and what `help` says.
//!
//! Holds: the parser takes its words and usages from here, so no command lacks its line of help.

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its first word.
    pub word: &'static str,
    /// The words after it, as they are shown.
    pub words: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// All commands, in the order of `help`.
pub const COMMANDS: &[Usage] = &[
    usage("adduser", "NAME [PASSWORD]", "make an account; you are asked for the password"),
    usage("login", "NAME [PASSWORD]", "log in"),
    usage("passwd", "[OLD NEW]", "change your password; your other sessions end"),
    usage("logout", "", "end this session"),
    usage("list", "", "who is here: free, busy or away"),
    usage("leaders", "", "points of all players"),
    usage("begin", "NAME [GAME]", "ask to play tictactoe, connect4, gomoku or 5x5x4"),
    usage("accept", "[NAME]", "accept an invitation"),
    usage("decline", "[NAME]", "decline an invitation"),
    usage("send", "ROW COL", "play there, from 1 1 at the top left; connect4: COL"),
    usage("board", "", "show the board"),
    usage("delay", "", "the last three round trips, what is usual, and the path"),
    usage("end", "", "resign, at once or when your turn comes"),
    usage("leave", "", "leave the match; it can be gone on with"),
    usage("rematch", "", "ask for another one"),
    usage("export", "[FILE]", "write the match to a file for `rejoin admin verify`"),
    usage("status", "", "the link, the path, and how far the moves have come"),
    usage("help", "", "this"),
    usage("exit", "", "leave; your session stays"),
];

const WORDS: &str = "\
A move is sent (on your disk), seen (on your opponent's too) and kept (on the
server's). Seen or kept it is acknowledged: no single loss takes it away.
Against an opponent who lies, only kept moves survive the loss of your own disk.

While the server is down you play on directly with your opponent, if one of you
can reach the other. A result is agreed when both have signed what decides it,
and recorded, with its points, when the server has it. --direct off keeps this
machine's addresses from your opponent; then the match waits for the server.

You may log in on another device and watch. Once the server and your opponent's
program have answered you play from there, and the old device only watches. That
counts as the loss of the old device's disk: see kept.";

impl Usage {
    /// The command as it is typed.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.word, self.words).trim_end().to_owned()
    }
}

/// The command of that first word.
#[must_use]
pub fn command(word: &str) -> Option<&'static Usage> {
    COMMANDS.iter().find(|usage| usage.word == word)
}

/// All of it.
#[must_use]
pub fn text() -> String {
    let width = COMMANDS.iter().map(|usage| usage.line().len()).max().unwrap_or(0);
    let lines = COMMANDS.iter().map(|usage| format!("{:<width$}  {}\n", usage.line(), usage.about));
    format!("{}\n{WORDS}", lines.collect::<String>())
}

const fn usage(word: &'static str, words: &'static str, about: &'static str) -> Usage {
    Usage { word, words, about }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_one_line_a_command_and_says_what_the_words_mean() {
        let text = text();
        for usage in COMMANDS {
            let lines = text.lines().filter(|line| line.split(' ').next() == Some(usage.word));
            assert_eq!(lines.count(), 1, "{}", usage.word);
        }
        for word in ["sent", "seen", "kept", "acknowledged", "agreed", "recorded", "--direct off", "another device"] {
            assert!(WORDS.contains(word), "{word}");
        }
        assert!(text.contains("only kept moves survive the loss of your own disk."));
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        let widest = text().lines().map(str::len).max();
        assert!(widest <= Some(80), "{widest:?}");
    }
}

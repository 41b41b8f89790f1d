//! `rejoin.toml` in the current directory: a table for each subcommand, its keys the long flags.
//!
//! ```toml
//! [server]
//! listen = "[::]:3000"
//! points = "3,1,0"
//! ```

use std::io::ErrorKind;

use anyhow::{Context, bail};
use toml::{Table, Value};

/// The file's name.
const FILE: &str = "rejoin.toml";

/// The command with the file's values as its defaults.
///
/// # Errors
/// When the file cannot be read, or names what there is not.
pub(super) fn with_defaults(command: clap::Command) -> anyhow::Result<clap::Command> {
    match std::fs::read_to_string(FILE) {
        Ok(text) => apply(command, &text).with_context(|| format!("in {FILE}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(command),
        Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
    }
}

fn apply(mut command: clap::Command, text: &str) -> anyhow::Result<clap::Command> {
    let file: Table = text.parse()?;
    for (section, values) in file {
        let Value::Table(values) = values else { bail!("{section} stands outside of any [subcommand]") };
        let Some(subcommand) = command.find_subcommand(&section) else { bail!("there is no subcommand [{section}]") };
        let mut changed = subcommand.clone();
        for (flag, value) in values {
            let find = |arg: &&clap::Arg| arg.get_long() == Some(flag.as_str());
            let Some(id) = changed.get_arguments().find(find).map(|arg| arg.get_id().clone()) else {
                bail!("[{section}] has no setting {flag}")
            };
            let value = match value {
                Value::String(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Boolean(truth) => truth.to_string(),
                Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                    bail!("{flag} in [{section}] must be a text, a whole number, true or false")
                }
            };
            changed = changed.mut_arg(id, |arg| arg.default_value(value).required(false));
        }
        command = command.mut_subcommand(section, |_| changed);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn command() -> Command {
        let port = Arg::new("port").long("port").required(true);
        let loud = Arg::new("very_loud").long("very-loud").action(ArgAction::SetTrue);
        Command::new("x").subcommand(Command::new("serve").arg(port).arg(loud))
    }

    #[test]
    fn a_file_gives_defaults_and_flags_go_before_it() {
        let command = apply(command(), "[serve]\nport = 4000\nvery-loud = true").unwrap();
        let given = |args: &[&str]| {
            let matches = command.clone().try_get_matches_from(args).unwrap();
            let serve = matches.subcommand_matches("serve").unwrap();
            (serve.get_one::<String>("port").cloned(), serve.get_flag("very_loud"))
        };
        assert_eq!(given(&["x", "serve"]), (Some("4000".to_owned()), true));
        assert_eq!(given(&["x", "serve", "--port", "5"]), (Some("5".to_owned()), true));
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (text, says) in [("[fly]", "fly"), ("[serve]\nprot = 1", "prot"), ("port = 1", "port"), ("[serve", "")] {
            let error = apply(command(), text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

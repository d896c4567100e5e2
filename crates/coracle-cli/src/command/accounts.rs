//! `coracle login` and `logout`. A password goes from the terminal or stdin to coracled, and nowhere else.

use std::io::{self, Read as _, Write as _};

use serde_json::json;

use crate::args::Login;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::terminal::{hidden, stdin_is_terminal};

/// Longer than any token.
const LONGEST_PASSWORD: u64 = 64 * 1024;

pub(crate) async fn login(login: Login, out: Output) -> Result<Exit, Failure> {
    let (user, password) = if login.password_stdin {
        let mut text = String::new();
        io::stdin().lock().take(LONGEST_PASSWORD).read_to_string(&mut text)?;
        (login.username.unwrap_or_default(), line_end_off(text))
    } else {
        if !stdin_is_terminal() {
            return Err(Failure::new("Cannot perform an interactive login from a non TTY device"));
        }
        let user = match login.username {
            Some(user) => user,
            None => asked("Username: ")?,
        };
        (user, hidden("Password: ")?)
    };
    for (what, text) in [("username", &user), ("password", &password)] {
        if text.is_empty() {
            return Err(Failure::new(format!("{what} is required")));
        }
    }
    let server = login.registry.unwrap_or_default();
    super::connect().await?.login(&server, &user, &password).await?;
    out.print(&json!({ "status": "Login Succeeded" }), |_| "Login Succeeded".to_owned())?;
    Ok(Exit::OK)
}

pub(crate) async fn logout(registry: Option<&str>, out: Output) -> Result<Exit, Failure> {
    super::connect().await?.logout(registry.unwrap_or_default()).await?;
    let name = registry.unwrap_or("Docker Hub");
    out.print(&json!({ "registry": registry }), |_| format!("Removing login credentials for {name}"))?;
    Ok(Exit::OK)
}

fn asked(question: &str) -> Result<String, Failure> {
    eprint!("{question}");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// One line end at most: a password may end in anything else.
fn line_end_off(mut text: String) -> String {
    for end in ['\n', '\r'] {
        if text.ends_with(end) {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwords_line_end_is_none_of_it() {
        for (read, password) in [("a", "a"), ("a \n", "a "), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\n", "")] {
            assert_eq!(line_end_off(read.to_owned()), password, "{read:?}");
        }
    }
}

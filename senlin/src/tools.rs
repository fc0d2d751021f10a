//! An operator's tools.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use senlin_core::{seal::Sealer, secret::Secret};
use senlin_runtime::{secrets::Database, settings};
use serde::Deserialize;

#[derive(Deserialize)]
struct OnlyDatabase {
    database: Database,
}

/// Prints to the terminal: what a command is for.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// `senlin migrate`
pub(crate) async fn migrate(config: Option<&Path>) -> anyhow::Result<()> {
    let settings: OnlyDatabase = settings::load(config)?;
    let applied = senlin_db::migrate(&settings.database.resolve()?).await?;
    match applied.as_slice() {
        [] => say("The schema is current: nothing to do."),
        list => list.iter().for_each(|name| say(&format!("Applied {name}."))),
    }
    Ok(())
}

/// Writes a file that nobody else may read.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create '{}'", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// `senlin keygen`
pub(crate) fn keygen(file: &Path) -> anyhow::Result<()> {
    write_private(file, Sealer::generate_key().expose())?;
    say(&format!(
        "A new key is in '{}'. Keep a copy: without it the secrets in specs are lost.",
        file.display()
    ));
    Ok(())
}

/// A new token of 256 bits.
pub(crate) fn new_token() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(hex::encode(bytes))
}

/// The lines of a tokens file for one token.
pub(crate) fn token_lines(token: &Secret, user: &str, project: &str, roles: &[String]) -> String {
    let roles: Vec<String> = roles.iter().map(|r| format!("\"{r}\"")).collect();
    format!(
        "[[tokens]]\nsha256 = \"{}\"\nuser = \"{user}\"\nproject = \"{project}\"\nroles = [{}]\n",
        senlin_api::auth::hash(token.expose()),
        roles.join(", ")
    )
}

/// `senlin policy show`
pub(crate) fn policy_show(file: Option<&Path>) -> anyhow::Result<()> {
    say(senlin_api::rbac::Rbac::from_settings(file)?.show().trim_end());
    Ok(())
}

/// `senlin token`
pub(crate) fn token(user: &str, project: &str, roles: &[String]) -> anyhow::Result<()> {
    let token = new_token();
    say(&format!("Token (shown this once): {}", token.expose()));
    say("Add to the file of api.tokens_file:");
    say(&token_lines(&token, user, project, roles));
    Ok(())
}

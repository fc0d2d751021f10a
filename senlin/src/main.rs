//! The `senlin` command: everything in one process, and an operator's tools.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod client;
mod demo;
mod postgres;
mod reconcile;
mod standalone;
mod tools;

/// Clusters of containers on plain Docker hosts.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run API and engine in one process, with a private PostgreSQL.
    Standalone(standalone::Args),
    /// Show a cluster come up, scale, heal and shrink (needs `standalone` running).
    Demo(demo::Args),
    /// Apply the database migrations that are missing.
    Migrate {
        /// Settings file; the environment is read as well.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Write a new key for the secrets in specs into a file of its own.
    Keygen {
        /// Where to; must not exist.
        file: PathBuf,
    },
    /// List containers that the record does not account for, and settle each.
    Reconcile(reconcile::Args),
    /// Rules of who may do what.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Make a token: prints it once, with the line for the tokens file.
    Token {
        /// User id.
        #[arg(long)]
        user: String,
        /// Project id.
        #[arg(long)]
        project: String,
        /// Role; may be repeated.
        #[arg(long, default_value = "member")]
        role: Vec<String>,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Print the rules in force: the defaults, under what the file says.
    Show {
        /// The file of `api.policy_file`.
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Standalone(args) => standalone::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Migrate { config } => tools::migrate(config.as_deref()).await,
        Command::Reconcile(args) => reconcile::run(args).await,
        Command::Keygen { file } => tools::keygen(&file),
        Command::Policy {
            command: PolicyCommand::Show { file },
        } => tools::policy_show(file.as_deref()),
        Command::Token { user, project, role } => tools::token(&user, &project, &role),
    }
}

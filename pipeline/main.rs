//! The program `selvedge`: parses the command line, runs the command, tells the exit code.
//!
//! 0 done, no flaw and no gap; 1 done, flaws, gaps or a difference found; 2 could not do it.

use std::process::ExitCode;

fn main() -> ExitCode {
    selvedge::cli::main()
}

//! The program `selvedge`, run as a person runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Runs `selvedge` in `folder`, with `selvedge.db` and `articles/` there.
pub(crate) fn selvedge<S: AsRef<std::ffi::OsStr>>(folder: &Path, args: &[S]) -> Ran {
    ran(Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(args)
        .current_dir(folder)
        .env_remove("SELVEDGE_STORE")
        .env_remove("SELVEDGE_LOG"))
}

/// Runs a prepared command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

impl Ran {
    /// The one JSON value on standard output; the exit code must be as expected.
    pub(crate) fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it could not do it, printed no result, and said all of this once.
    pub(crate) fn refuses(&self, said: &[&str]) {
        assert_eq!(self.code, 2, "{self:?}");
        assert_eq!(self.out, "", "a refusal prints no result");
        for text in said {
            assert!(
                self.err.contains(text),
                "expected {text:?} in {:?}",
                self.err
            );
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// An article taught by the program, kept for all tests of this process.
pub(crate) struct Mill {
    folder: tempfile::TempDir,
}

impl Mill {
    /// A mill of its own whose article `plain` was taught on `loom:1`; `None`, aloud, without
    /// ONNX Runtime.
    pub(crate) fn taught() -> Option<Self> {
        use std::sync::OnceLock;
        static TAUGHT: OnceLock<Option<Mill>> = OnceLock::new();
        let taught = TAUGHT.get_or_init(|| {
            onnx_runtime()?;
            let mill = Mill::empty();
            let args = ["teach", "--article", "plain", "--from", "loom:1"];
            let ran = mill.run(&[&args[..], &["--no-limits"]].concat());
            assert_eq!(ran.code, 0, "{ran:?}");
            Some(mill)
        });
        let mill = Mill::empty();
        copy_folder(taught.as_ref()?.path(), mill.path());
        Some(mill)
    }

    /// A mill with nothing in it.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the program in it.
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Ran {
        selvedge(self.path(), args)
    }

    /// Its store.
    pub(crate) fn store(&self) -> store::Store {
        store::Store::open(self.path().join("selvedge.db").to_str().unwrap()).unwrap()
    }

    /// Model files of an article.
    pub(crate) fn models_of(&self, article: &str) -> Vec<PathBuf> {
        let mut files = files_in(&self.path().join("articles").join(article));
        files.retain(|file| file.extension().is_some_and(|kind| kind == "onnx"));
        files
    }
}

/// What inspects roll `roll` of article `plain`.
pub(crate) fn inspecting<'a>(roll: &'a str, from: &'a str) -> [&'a str; 7] {
    [
        "inspect",
        "--article",
        "plain",
        "--roll",
        roll,
        "--from",
        from,
    ]
}

/// ONNX Runtime, or a word that it is missing.
pub(crate) fn onnx_runtime() -> Option<models::onnx::Runtime> {
    match models::onnx::Runtime::load() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            crate::not_run(&error.to_string());
            None
        }
    }
}

/// Files directly in `folder`, sorted.
pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

//! Where runs lie that nobody named a folder for: in `runs/`, looked for upwards from the current
//! folder, but no further than to the root of the workspace or repository.

use crate::output::warn;
use crate::paths::shown;
use std::env;
use std::path::{Path, PathBuf};
use train::Error;
use train::run_folder::RunFolder;

const RUNS: &str = "runs";

/// The finished run in `path`, or else the latest of one of `tasks`. `says` whether to tell (on standard
/// error) where these lie, if not in the current folder.
///
/// # Errors
/// [`Error::NoRun`] if there is none.
pub fn open(path: Option<&Path>, tasks: &[&str], says: bool) -> Result<RunFolder, Error> {
    match path {
        Some(path) => RunFolder::open(path),
        None => RunFolder::latest_of(&folder(says), tasks),
    }
}

/// The arguments `[RUN] FILE`: the run, if it is named, and the file.
pub fn run_and_file(paths: &[PathBuf]) -> (Option<&Path>, &PathBuf) {
    match paths {
        [run, file] => (Some(run), file),
        [file, ..] => (None, file),
        [] => unreachable!("at least one is required"),
    }
}

/// The folder of all runs; that of the current folder is named by `runs` alone.
pub fn folder(says: bool) -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    let found = look(&here, |path| path.exists());
    if found == here.join(RUNS) {
        return RUNS.into();
    }
    if says {
        warn(format!("using the runs in {}", shown(&found)));
    }
    found
}

/// The nearest folder of runs from `here` upwards to the root of the workspace or repository; if
/// there is none yet, its place in that root.
fn look(here: &Path, exists: impl Fn(&Path) -> bool) -> PathBuf {
    let is_root = |path: &&Path| exists(&path.join(".git")) || exists(&path.join("Cargo.lock"));
    let root = here.ancestors().find(is_root).unwrap_or(here);
    let ways = here.ancestors().take_while(|path| path.starts_with(root));
    let mut folders = ways.map(|path| path.join(RUNS));
    folders.find(|path| exists(path)).unwrap_or_else(|| root.join(RUNS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_looked_for_upwards_and_no_further_than_to_the_root() {
        for (here, there, expected) in [
            // no workspace: here
            ("/a/b", &[][..], "/a/b/runs"),
            ("/a/b", &["/a/runs"], "/a/b/runs"),
            // below a workspace's root: the nearest, or else the root's
            ("/a/b/c", &["/a/Cargo.lock"], "/a/runs"),
            ("/a/b/c", &["/a/.git", "/a/runs"], "/a/runs"),
            ("/a/b/c", &["/a/.git", "/a/runs", "/a/b/runs"], "/a/b/runs"),
            ("/a/b/c", &["/a/.git", "/a/b/c/runs", "/a/b/runs"], "/a/b/c/runs"),
            // never above it, and the nearest root counts
            ("/a/b/c", &["/a/b/.git", "/a/runs"], "/a/b/runs"),
            ("/a/b", &["/a/b/Cargo.lock", "/a/.git", "/a/runs"], "/a/b/runs"),
        ] {
            let exists = |path: &Path| there.iter().any(|there| Path::new(there) == path);
            assert_eq!(look(Path::new(here), exists), Path::new(expected), "{there:?}");
        }
    }
}

//! Files that are whole or absent: written beside their place, synced, and renamed into it, so
//! that no crash leaves half a file under a final name.

use crate::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How the names of files begin that are written beside their place; a process that is
/// killed leaves one.
pub(crate) const LEFTOVER: &str = ".unfinished-";

/// Writes `bytes` to a file beside `path`, syncs it, and renames it to `path`.
///
/// # Errors
/// If one of these fails; then `path` is as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Staged::write(path, bytes)?.rename()
}

/// A file that is whole and on the disk, beside its place; dropped, it is gone.
pub(crate) struct Staged {
    pub path: PathBuf,
    file: NamedTempFile,
}

impl Staged {
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let write = || {
            let mut file =
                tempfile::Builder::new().prefix(LEFTOVER).tempfile_in(folder_of(path))?;
            file.write_all(bytes)?;
            make_readable(file.as_file())?;
            file.as_file().sync_all()?;
            Ok(Self { path: path.to_owned(), file })
        };
        write().map_err(Error::file("write", path))
    }

    pub fn rename(self) -> Result<(), Error> {
        let rename = || {
            self.file.persist(&self.path)?;
            sync_folder(folder_of(&self.path))
        };
        rename().map_err(Error::file("write", &self.path))
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), Error> {
    let remove = || match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(folder_of(path)),
    };
    remove().map_err(Error::file("remove", path))
}

/// A temporary file is made for its owner alone; a result is for whoever may read the folder.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// A rename is on the disk when its folder is.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("taken");
        fs::create_dir(&target).unwrap(); // a file cannot be renamed over a folder
        assert!(write_whole(&target, b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("file");
        write_whole(&file, b"old").unwrap();
        write_whole(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}

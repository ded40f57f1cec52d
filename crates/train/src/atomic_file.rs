//! Files that are whole or absent: written beside their place, synced, and renamed into it, so
//! that no crash leaves half a file under a final name.
//!
//! Where a name stands for something else than a file of its own, that is respected: a symbolic
//! link is followed, the mode of a file that is replaced is kept (a new one gets what the umask
//! leaves), and [`write_output`] writes into what no file can take the place of.

use crate::Error;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tempfile::NamedTempFile;

/// How the names of files begin that are written beside their place; a process that is
/// killed leaves one.
pub(crate) const LEFTOVER: &str = ".unfinished-";

/// Symbolic links that are followed at most, one to the next, as Linux does.
const MOST_LINKS: usize = 40;

/// How long a named pipe may be without a reader.
const READER: Duration = Duration::from_secs(5);

/// Writes `bytes` to a file beside `path`, syncs it, and renames it to `path`, or to where that
/// leads if it is a symbolic link.
///
/// # Errors
/// If one of these fails; then `path` is as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Staged::write(path, bytes)?.rename()
}

/// Writes `bytes` to a file that a user has named: as [`write_whole`] does, but into what stands
/// there where a new file could not take its place: what is no regular file (a named pipe, a
/// device, `/dev/stdout`), a file with several names, or one in a folder that takes no new file.
///
/// # Errors
/// If it cannot be written.
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || match Place::of(path)? {
        Place::Inside(inside) => write_into(&inside, bytes),
        Place::File(file) => match write_whole(&file, bytes) {
            Err(Error::File { source, .. }) if is_of_folder(&source) && file.exists() => {
                fs::write(&file, bytes)
            }
            Err(Error::File { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
            Ok(()) => Ok(()),
        },
    };
    write().map_err(Error::file("write", path))
}

/// Can [`write_output`] write `path`? For programs that compute for long before they do. Nothing
/// is changed.
///
/// # Errors
/// If it cannot.
pub fn try_output(path: &Path) -> Result<(), Error> {
    let try_place = || match Place::of(path)? {
        Place::Inside(_) => Ok(()),
        Place::File(file) => match beside(&file) {
            Err(error) if is_of_folder(&error) && file.exists() => {
                OpenOptions::new().write(true).open(&file).map(drop)
            }
            result => result.map(drop),
        },
    };
    try_place().map_err(Error::file("write", path))
}

/// Is `path` this process's standard output, by a name such as `/dev/stdout`? Lines for people
/// do not belong there beside a file's content.
pub fn is_standard_output(path: &Path) -> bool {
    matches!(Place::of(path), Ok(Place::Inside(inside)) if is_descriptor(&inside, "1"))
}

/// May a file be written all the same, where a new one in its place failed so? Its folder may not
/// be written, or something is mounted on it.
fn is_of_folder(error: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// Where bytes for a path belong.
enum Place {
    /// In a file that may be replaced.
    File(PathBuf),
    /// Into what stands there.
    Inside(PathBuf),
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let path = followed(path)?;
        // A descriptor of a process: a new file would be another.
        if path.starts_with("/proc") {
            return Ok(Self::Inside(path));
        }
        match fs::metadata(&path) {
            Ok(there) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() || has_other_names(&there) => Ok(Self::Inside(path)),
            Ok(_) => Ok(Self::File(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::File(path)),
            Err(error) => Err(error),
        }
    }
}

/// Where `path` leads, one symbolic link after the other, whether or not there is a file; but no
/// further than to a descriptor below `/proc`, whose link is none that can be followed by name.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Some(name) = path.file_name() {
            // A folder that is not there is told by who writes.
            path = folder_of(&path).canonicalize().map_or(path.clone(), |f| f.join(name));
        }
        if path.starts_with("/proc") || !path.is_symlink() {
            return Ok(path);
        }
        path = folder_of(&path).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("its symbolic links lead in a circle"))
}

/// Is `path` descriptor `number` of this process, after [`followed`]?
fn is_descriptor(path: &Path, number: &str) -> bool {
    let own = format!("/proc/{}/fd", std::process::id());
    path.file_name().is_some_and(|name| name == number)
        && (path.starts_with(own) || path.starts_with("/proc/self/fd"))
}

fn write_into(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Not opened anew: where it is a file, that would begin at its beginning.
    if is_descriptor(path, "1") {
        let mut stdout = io::stdout().lock();
        return stdout.write_all(bytes).and_then(|()| stdout.flush());
    }
    if is_descriptor(path, "2") {
        return io::stderr().write_all(bytes);
    }
    // Opening a pipe waits for its reader, which may never come.
    let (sender, receiver) = channel();
    let name = path.to_owned();
    thread::spawn(move || {
        let file = OpenOptions::new().write(true).truncate(true).open(name);
        let _ = sender.send(file);
    });
    match receiver.recv_timeout(READER) {
        Ok(file) => file?.write_all(bytes),
        Err(_) => Err(io::Error::other(format!(
            "nobody has opened this pipe to read it within {} s",
            READER.as_secs()
        ))),
    }
}

/// A file that is whole and on the disk, beside its place; dropped, it is gone.
pub(crate) struct Staged {
    /// Its place, as it was named.
    pub path: PathBuf,
    /// Where that leads.
    place: PathBuf,
    file: NamedTempFile,
}

impl Staged {
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let write = || {
            let place = followed(path)?;
            let mut file = beside(&place)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            Ok(Self { path: path.to_owned(), place, file })
        };
        write().map_err(Error::file("write", path))
    }

    pub fn rename(self) -> Result<(), Error> {
        let rename = || {
            self.file.persist(&self.place)?;
            sync_folder(folder_of(&self.place))
        };
        rename().map_err(Error::file("write", &self.path))
    }
}

/// An empty file beside `path`, with the mode and owner of what it is to replace.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // For whoever the umask lets: a temporary file would be for its owner alone.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let file = builder.prefix(LEFTOVER).tempfile_in(folder_of(path))?;
    if let Ok(old) = fs::metadata(path)
        && old.is_file()
    {
        resemble(file.as_file(), &old)?;
    }
    Ok(file)
}

/// Gives `file` the owner, if that is allowed, and the mode of `old`.
#[cfg(unix)]
fn resemble(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only root may give files away; to others it stays their own.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn resemble(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn has_other_names(file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.nlink() > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
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

/// A rename is on the disk when its folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
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
        assert!(write_output(&target, b"new").is_err());
        assert!(try_output(&target).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("file");
        for write in [write_whole, write_output] {
            write(&file, b"old").unwrap();
            write(&file, b"new").unwrap();
            assert_eq!(fs::read(&file).unwrap(), b"new");
        }
        try_output(&file).unwrap();
        try_output(&folder.path().join("another")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        for path in [folder.path().join("none/file"), file.join("file")] {
            assert!(write_output(&path, b"new").is_err() && try_output(&path).is_err());
        }
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::io::Read;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        use std::process::Command;

        #[test]
        fn links_are_followed_also_to_files_that_are_not_there_yet() {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::create_dir(path("inner")).unwrap();
            symlink("inner/target", path("link")).unwrap();
            symlink(path("link"), path("link to link")).unwrap();
            symlink("circle", path("circle")).unwrap();
            for (n, write) in [write_whole, write_output].into_iter().enumerate() {
                for text in ["first", "second"] {
                    let text = format!("{text} {n}");
                    write(&path("link to link"), text.as_bytes()).unwrap();
                    assert!(path("link").is_symlink() && path("link to link").is_symlink());
                    assert!(!path("inner/target").is_symlink());
                    assert_eq!(fs::read_to_string(path("inner/target")).unwrap(), text);
                }
                fs::remove_file(path("inner/target")).unwrap();
                try_output(&path("link")).unwrap();
                let circle = write(&path("circle"), b"").unwrap_err();
                assert!(format!("{circle:?}").contains("circle"));
            }
        }

        #[test]
        fn the_mode_of_a_replaced_file_is_kept_and_a_new_one_has_what_the_umask_leaves() {
            let folder = tempfile::tempdir().unwrap();
            let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
            let plain = folder.path().join("plain");
            File::create(&plain).unwrap();
            for write in [write_whole, write_output] {
                let file = folder.path().join("file");
                write(&file, b"new").unwrap();
                assert_eq!(mode(&file), mode(&plain), "another mode than File::create gives");
                for kept in [0o600, 0o640, 0o755, 0o666] {
                    fs::set_permissions(&file, fs::Permissions::from_mode(kept)).unwrap();
                    write(&file, b"newer").unwrap();
                    assert_eq!(mode(&file), kept);
                }
                fs::remove_file(&file).unwrap();
            }
        }

        #[test]
        fn a_file_with_several_names_keeps_them() {
            let folder = tempfile::tempdir().unwrap();
            let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
            fs::write(&one, "old, and longer").unwrap();
            fs::hard_link(&one, &other).unwrap();
            write_output(&one, b"new").unwrap();
            assert_eq!(fs::read(&other).unwrap(), b"new");
            assert_eq!(one.metadata().unwrap().ino(), other.metadata().unwrap().ino());
        }

        #[test]
        fn pipes_and_devices_are_written_into() {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            try_output(&pipe).unwrap();
            let reader = thread::spawn({
                let pipe = pipe.clone();
                move || {
                    let mut text = String::new();
                    File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
                    text
                }
            });
            let long = "a line\n".repeat(50_000); // more than a pipe holds
            write_output(&pipe, long.as_bytes()).unwrap();
            assert!(reader.join().unwrap() == long);
            assert!(!pipe.metadata().unwrap().is_file());
            // A device: through a link, for a mistake would make a file of it.
            let null = folder.path().join("null");
            symlink("/dev/null", &null).unwrap();
            write_output(&null, b"nothing").unwrap();
            assert!(null.is_symlink() && !Path::new("/dev/null").metadata().unwrap().is_file());
        }

        #[test]
        fn a_pipe_that_nobody_reads_is_an_error_and_stays() {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let error = write_output(&pipe, b"text").unwrap_err();
            assert!(format!("{error:?}").contains("nobody has opened this pipe"), "{error:?}");
            assert!(!pipe.metadata().unwrap().is_file());
            drop(OpenOptions::new().read(true).write(true).open(&pipe)); // frees the thread
        }

        #[test]
        fn standard_output_is_known_by_its_names() {
            for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
                assert!(is_standard_output(Path::new(name)), "{name}");
            }
            for name in ["/dev/stderr", "/dev/null", "stdout", "/proc/1/fd/1"] {
                assert!(!is_standard_output(Path::new(name)), "{name}");
            }
        }
    }
}

//! Files of data that people train on: read whole or piece by piece, and known again by their digest.

use crate::Error;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf, absolute};

/// A file as it was when a training began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Where it is: from the root on.
    #[serde(with = "path_as_text")]
    pub path: PathBuf,
    /// The SHA-256 digest of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl DataFile {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no regular file, or is empty.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), Error> {
        let mut bytes = Vec::with_capacity(length(path)? as usize);
        let file = Self::each(path, PIECE, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((file, bytes))
    }

    /// Reads it again.
    ///
    /// # Errors
    /// As [`DataFile::read`], or if it is another than it was.
    pub fn read_again(&self) -> Result<Vec<u8>, Error> {
        let (now, bytes) = Self::read(&self.path)?;
        self.must_be(&now)?;
        Ok(bytes)
    }

    /// Calls `see` with the bytes of the file `path`, in pieces of at most `piece`, so that no more
    /// of it is in memory.
    ///
    /// # Errors
    /// As [`DataFile::read`], or what `see` says.
    pub fn each(
        path: &Path,
        piece: usize,
        mut see: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        length(path)?;
        let mut file = File::open(path).map_err(Error::file("read", path))?;
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; piece.max(1)]);
        let mut is_empty = true;
        loop {
            let count = match file.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.map_err(Error::file("read", path))?,
            };
            if count == 0 {
                break;
            }
            is_empty = false;
            digest.update(&buffer[..count]);
            see(&buffer[..count])?;
        }
        if is_empty {
            return Err(empty(path));
        }
        let path = absolute(path).map_err(Error::file("find", path))?;
        Ok(Self { path, sha256: hexadecimal(&digest.finalize()) })
    }

    /// [`DataFile::each`] of the file as it was.
    ///
    /// # Errors
    /// As [`DataFile::each`], or if it is another than it was, which is known at its end.
    pub fn each_again(
        &self,
        piece: usize,
        see: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut kept = None;
        let mut see = see;
        // A file that has changed says so, and not what is wrong with its new content.
        let now = Self::each(&self.path, piece, |bytes| {
            if kept.is_none() {
                kept = see(bytes).err();
            }
            Ok(())
        })?;
        self.must_be(&now)?;
        kept.map_or(Ok(()), Err)
    }

    /// Is it as it was?
    pub(crate) fn must_be(&self, now: &Self) -> Result<(), Error> {
        if now.sha256 == self.sha256 {
            return Ok(());
        }
        let reason = format!(
            "has changed since the training began: its SHA-256 digest is {}, and was {}; put back \
             the file of then, or train anew",
            now.sha256, self.sha256
        );
        Err(Error::Data { path: self.path.clone(), reason })
    }
}

/// Bytes that are read at a time.
pub(crate) const PIECE: usize = 1 << 16;

/// The bytes of the file `path`.
///
/// # Errors
/// As [`DataFile::read`].
pub fn length(path: &Path) -> Result<u64, Error> {
    let data = |reason: &str| Err(Error::Data { path: path.into(), reason: reason.into() });
    let metadata = fs::metadata(path).map_err(Error::file("read", path))?;
    if metadata.is_dir() {
        return data("is a folder; name the files in it that are meant");
    }
    if !metadata.is_file() {
        return data("is no regular file; write what it gives to a file first");
    }
    if metadata.len() == 0 {
        return Err(empty(path));
    }
    Ok(metadata.len())
}

fn empty(path: &Path) -> Error {
    Error::Data { path: path.into(), reason: "is empty; name a file with something in it".into() }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes all
        text
    })
}

/// A path as text where it is UTF-8, as all are that people type; others as their bytes.
mod path_as_text {
    use super::{OsString, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::path::Path;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Text {
        Utf8(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match path.to_str() {
            Some(text) => Text::Utf8(text.to_owned()),
            None => Text::Bytes(path.as_os_str().as_encoded_bytes().to_vec()),
        };
        text.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<PathBuf, D::Error> {
        Ok(match Text::deserialize(source)? {
            Text::Utf8(text) => text.into(),
            Text::Bytes(bytes) => of_bytes(bytes),
        })
    }

    #[cfg(unix)]
    fn of_bytes(bytes: Vec<u8>) -> PathBuf {
        use std::os::unix::ffi::OsStringExt;
        OsString::from_vec(bytes).into()
    }

    #[cfg(not(unix))]
    fn of_bytes(bytes: Vec<u8>) -> PathBuf {
        OsString::from(String::from_utf8_lossy(&bytes).into_owned()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_again_and_another_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a text.txt");
        fs::write(&path, "abc").unwrap();
        let (file, bytes) = DataFile::read(&path).unwrap();
        assert_eq!(bytes, b"abc");
        // the digest of FIPS 180-2's first example
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file.sha256, expected);
        assert_eq!(file.read_again().unwrap(), b"abc");
        fs::write(&path, "abd").unwrap();
        let text = file.read_again().unwrap_err().to_string();
        assert!(text.contains("a text.txt has changed") && text.contains(expected), "{text}");
    }

    #[test]
    fn a_file_in_pieces_is_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a text.txt");
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        fs::write(&path, &bytes).unwrap();
        let (file, _) = DataFile::read(&path).unwrap();
        for piece in [1, 7, 999, 1_000, 5_000] {
            let mut all = Vec::new();
            let mut see = |bytes: &[u8]| {
                assert!((1..=piece).contains(&bytes.len()));
                all.extend_from_slice(bytes);
                Ok(())
            };
            assert_eq!(DataFile::each(&path, piece, &mut see).unwrap(), file);
            assert_eq!(all, bytes);
            // What `see` says is told, unless the file has changed.
            let refuse = |_: &[u8]| Err(Error::Task("bad bytes".to_owned()));
            let text = file.each_again(piece, refuse).unwrap_err().to_string();
            assert_eq!(text, "bad bytes");
        }
        fs::write(&path, &bytes[1..]).unwrap();
        let refuse = |_: &[u8]| Err(Error::Task("bad bytes".to_owned()));
        let text = file.each_again(7, refuse).unwrap_err().to_string();
        assert!(text.contains("has changed since"), "{text}");
    }

    #[test]
    fn what_is_no_file_of_data_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        let missing = folder.path().join("missing");
        for (path, reason) in [
            (folder.path(), "is a folder"),
            (&empty, "is empty"),
            (&missing, "cannot read"),
            (Path::new("/dev/null"), "no regular file"),
        ] {
            let text = DataFile::read(path).unwrap_err().to_string();
            assert!(text.contains(reason), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn any_path_comes_back_from_a_file() {
        use std::os::unix::ffi::OsStringExt;
        for path in [&b"/a b/\xc3\xa9\n\"<"[..], b"/\xff\xfe"] {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            let file = DataFile { path, sha256: String::new() };
            let text = toml::to_string(&file).unwrap();
            assert_eq!(toml::from_str::<DataFile>(&text).unwrap(), file, "{text}");
        }
    }
}

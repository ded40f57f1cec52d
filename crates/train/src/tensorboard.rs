//! Scalars as TensorBoard event files.
//!
//! ```text
//! record = length u64 · masked CRC of it · event · masked CRC of it       little-endian
//! event  = 1: wall time f64 · 2: step i64 · 3: "brain.Event:2" (first event)
//!                                         · 5: summary (all others)
//! summary = 1: value …        value = 1: tag · 2: f32
//! ```
//!
//! The CRC is Castagnoli's, masked as TFRecord does: `rotate_right(15) + 0xa282ead8`.
//! The fields are those of TensorFlow's `event.proto` and `summary.proto`. These are
//! five fields of two messages; a general writer of protocol buffers, or a crate for
//! these files (none is kept up), would be more code than this.

use crate::Error;
use crate::metrics::Metrics;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An event file that is being written, an event at a time.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts a new event file in `folder`, under a name that TensorBoard looks for.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name =
            format!("events.out.tfevents.{:010}.{}.carry", now.as_secs(), now.subsec_nanos());
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(Error::file("write", &path))?;
        let mut events = Self { path, file };
        events.write(&event(seconds_since_epoch(), 0, 3, b"brain.Event:2"))?;
        Ok(events)
    }

    /// Adds loss, error, examples a second and the validation loss where there is one, at the step `metrics.examples`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn push(&mut self, metrics: &Metrics, examples_per_second: f64) -> Result<(), Error> {
        let mut summary = Vec::new();
        let scalars = [
            ("loss", metrics.loss),
            ("error", metrics.error),
            ("examples_per_second", examples_per_second),
        ];
        let valid = metrics.valid.map(|loss| ("validation_loss", loss));
        for (tag, value) in scalars.into_iter().chain(valid) {
            let mut scalar = Vec::new();
            bytes_field(&mut scalar, 1, tag.as_bytes());
            scalar.push(2 << 3 | FIXED_32);
            scalar.extend((value as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &scalar);
        }
        let step = metrics.examples;
        self.write(&event(seconds_since_epoch(), step, 5, &summary))
    }

    /// One record, in one call to the system.
    fn write(&mut self, event: &[u8]) -> Result<(), Error> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked_crc(event).to_le_bytes());
        self.file.write_all(&record).map_err(Error::file("write", &self.path))
    }
}

// Wire types of protocol buffers.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const BYTES: u8 = 2;
const FIXED_32: u8 = 5;

/// An event whose field `number` holds `content`.
fn event(wall_time: f64, step: u64, number: u8, content: &[u8]) -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED_64];
    event.extend(wall_time.to_le_bytes());
    event.push(2 << 3 | VARINT);
    varint(&mut event, step);
    bytes_field(&mut event, number, content);
    event
}

fn bytes_field(message: &mut Vec<u8>, number: u8, content: &[u8]) {
    message.push(number << 3 | BYTES);
    varint(message, content.len() as u64);
    message.extend(content);
}

/// Seven bits a byte, lowest first; the eighth says that more follow.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn seconds_since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

//! Read little-endian numbers, bytes and short texts from a file in memory.
//!
//! Whatever is not there is an error with its offset; nothing is read twice.

use super::value::{PickleError, Result};

/// Longest text, in bytes; names of layers are shorter.
const MAX_TEXT_BYTES: usize = 1_000;

/// A place in the file.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes from the file's start.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Bytes that have not been read.
    pub(crate) fn n_left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Refuses bytes that have not been read.
    pub(crate) fn end(&self, expected: &'static str) -> Result<()> {
        match self.n_left() {
            0 => Ok(()),
            n => Err(self.layout(format!("{n} more bytes behind them"), expected)),
        }
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let cut = || PickleError::Cut {
            offset: self.at,
            needed: length,
        };
        let end = self.at.checked_add(length).ok_or_else(cut)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn index(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub(super) fn text(&mut self, length: usize) -> Result<&'a str> {
        let offset = self.at;
        if length > MAX_TEXT_BYTES {
            return Err(PickleError::Limit {
                offset,
                what: "texts",
                limit: MAX_TEXT_BYTES,
            });
        }
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| self.layout("a text that is not UTF-8", "UTF-8"))
    }

    /// A line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .take(MAX_TEXT_BYTES)
            .position(|byte| *byte == b'\n');
        let Some(length) = length else {
            return Err(PickleError::Limit {
                offset: self.at,
                what: "lines",
                limit: MAX_TEXT_BYTES,
            });
        };
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }

    pub(crate) fn layout(&self, found: impl Into<String>, expected: &'static str) -> PickleError {
        PickleError::Layout {
            offset: self.at,
            found: found.into(),
            expected,
        }
    }
}

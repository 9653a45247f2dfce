//! A build without PostgreSQL: every address of one is refused, and the message says what to do.

use crate::StoreError;
use crate::database::{Access, Database};

pub(in crate::database) fn connect(
    _url: &str,
    _access: Access,
) -> Result<Box<dyn Database>, StoreError> {
    Err(StoreError::NotBuiltIn)
}

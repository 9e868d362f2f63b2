//! The host's table and context, as C hands them over.

use super::sized::{SizedStruct, read_sized};
use crate::error::Result;
use crate::host::{Context, Host, HostTable, LlamaContext};

// SAFETY: C's layout, numbers and pointers to functions that may be NULL; the size comes first.
unsafe impl SizedStruct for HostTable {
    const NAME: &'static str = "sda_host";
    const SMALLEST: usize = std::mem::offset_of!(HostTable, get_logits_ith);

    fn defaults() -> HostTable {
        HostTable::EMPTY
    }
}

/// The functions of a host, which C keeps alive.
///
/// # Safety
/// `host` is NULL or points to as many bytes as its `struct_size` says. Its functions are as their fields say,
/// for as long as what is made with the result.
pub(super) unsafe fn host(host: *const HostTable) -> Result<Host> {
    // SAFETY: passed on.
    unsafe { Ok(Host::new(&read_sized(host, "host")?, None)) }
}

/// A host's context, and the table that it is used through.
///
/// # Safety
/// As for [`host`](self::host()). `ctx` is NULL or a context that the table's functions accept; both stay valid
/// for as long as what is made with the result.
pub(super) unsafe fn context(host: *const HostTable, ctx: *mut LlamaContext) -> Result<Context> {
    // SAFETY: passed on.
    unsafe { Context::new(&self::host(host)?, ctx) }
}

//! Machines whose memory is nearer to some of its CPUs than to others.

use std::str::FromStr;
use std::sync::Once;

use llama_cpp_sys_2 as sys;

use super::model::backend;
use crate::error::Result;

/// How llama.cpp spreads its threads over the nodes of such a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numa {
    /// Evenly over all nodes.
    Distribute,
    /// Only on the node that the program started on.
    Isolate,
    /// As `numactl` says.
    Numactl,
}

impl FromStr for Numa {
    type Err = String;

    /// As llama.cpp reads it.
    fn from_str(text: &str) -> std::result::Result<Numa, String> {
        match text {
            "distribute" => Ok(Numa::Distribute),
            "isolate" => Ok(Numa::Isolate),
            "numactl" => Ok(Numa::Numactl),
            _ => Err("must be distribute, isolate or numactl".to_owned()),
        }
    }
}

/// Says so for the whole process, before a model is loaded. The first call counts. On a machine with one node it is of no
/// effect.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if llama.cpp's global state could not be made.
pub fn use_numa(numa: Numa) -> Result<()> {
    static ONCE: Once = Once::new();
    backend()?;
    let strategy = match numa {
        Numa::Distribute => sys::GGML_NUMA_STRATEGY_DISTRIBUTE,
        Numa::Isolate => sys::GGML_NUMA_STRATEGY_ISOLATE,
        Numa::Numactl => sys::GGML_NUMA_STRATEGY_NUMACTL,
    };
    // SAFETY: llama.cpp's state is there.
    ONCE.call_once(|| unsafe { sys::llama_numa_init(strategy) });
    Ok(())
}

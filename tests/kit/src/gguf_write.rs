//! Writes small GGUF files: adapters and control vectors.

use std::path::Path;

/// A value of a file's metadata.
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A 32-bit float.
    Float(f32),
}

/// A tensor of 32-bit floats.
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its sizes, that of the innermost dimension first.
    pub dims: Vec<u64>,
    /// Its numbers, as many as the sizes say.
    pub data: Vec<f32>,
}

const FLOAT: u32 = 6;
const TEXT: u32 = 8;
const ALIGNMENT: usize = 32;

/// Writes a file.
///
/// # Panics
/// Panics if the file cannot be written, or a tensor has another number of numbers than its sizes say.
pub fn write(target: &Path, metadata: &[(&str, Value)], tensors: &[Tensor]) {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut out, key);
        match value {
            Value::Text(value) => {
                out.extend(TEXT.to_le_bytes());
                text(&mut out, value);
            }
            Value::Float(value) => {
                out.extend(FLOAT.to_le_bytes());
                out.extend(value.to_le_bytes());
            }
        }
    }
    let mut begin = 0;
    for tensor in tensors {
        assert_eq!(tensor.dims.iter().product::<u64>(), tensor.data.len() as u64, "{}", tensor.name);
        text(&mut out, &tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        out.extend(tensor.dims.iter().flat_map(|n| n.to_le_bytes()));
        // Type 0 is that of 32-bit floats.
        out.extend(0u32.to_le_bytes());
        out.extend((begin as u64).to_le_bytes());
        begin = (begin + 4 * tensor.data.len()).next_multiple_of(ALIGNMENT);
    }
    for tensor in tensors {
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(tensor.data.iter().flat_map(|x| x.to_le_bytes()));
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    std::fs::write(target, out).unwrap();
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A LoRA adapter of rank 1 for the queries of a layer of a model of llama's architecture, `n` wide, that adds `x` to
/// each product of its outer vectors.
pub fn write_lora(target: &Path, layer: usize, n: usize, x: f32) {
    let metadata = [
        ("general.type", Value::Text("adapter")),
        ("general.architecture", Value::Text("llama")),
        ("adapter.type", Value::Text("lora")),
        ("adapter.lora.alpha", Value::Float(1.0)),
    ];
    let wave = |i: usize| (i as f32 * 0.7).sin();
    let tensor = |end: &str, dims: [u64; 2], data| Tensor {
        name: format!("blk.{layer}.attn_q.weight.{end}"),
        dims: dims.to_vec(),
        data,
    };
    let tensors = [
        tensor("lora_a", [n as u64, 1], (0..n).map(wave).collect()),
        tensor("lora_b", [1, n as u64], (0..n).map(|i| x * wave(i + 3)).collect()),
    ];
    write(target, &metadata, &tensors);
}

/// A control vector of one layer, `n` wide, with numbers up to `x`.
pub fn write_control(target: &Path, layer: usize, n: usize, x: f32) {
    let data = (0..n).map(|i| x * (i as f32 * 1.3).cos()).collect();
    let tensor = Tensor { name: format!("direction.{layer}"), dims: vec![n as u64], data };
    write(target, &[("general.architecture", Value::Text("controlvector"))], &[tensor]);
}

//! LoRA adapters and control vectors, tiny ones that are made here.

use std::path::{Path, PathBuf};

use sda::host::Token;
use sda::llama::{Adapter, Model, ModelOptions, set_log};
use sda_test_kit::gguf_write::{Tensor, Value, write, write_control, write_lora};

use crate::models::{as_f32, path};
use crate::rows::{SMOLLM2_EXACT, alone, difference, exact};

/// Numbers of a layer of SmolLM2 135M, and its layers.
const WIDTH: usize = 576;
const LAYERS: u32 = 30;

fn try_load(change: impl FnOnce(&mut ModelOptions)) -> sda::Result<Model> {
    let mut options = ModelOptions::default();
    change(&mut options);
    set_log(|_| {});
    Model::load(&as_f32(&path("SDA_TEST_MODEL")), &options, |_| true)
}

/// Logits of a few steps of a model with these options.
fn rows(change: impl FnOnce(&mut ModelOptions)) -> Vec<Vec<f32>> {
    let model = try_load(change).unwrap();
    let tokens: Vec<Token> = model.tokenize_prompt("What does a computer do?").unwrap();
    alone(&model, exact(64), &tokens[..4], &tokens[4..])
}

fn worst(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    a.iter().zip(b).map(|(a, b)| difference(a, b)).fold(0.0, f32::max)
}

fn of(path: &Path, scale: f32) -> Adapter {
    Adapter { path: path.to_owned(), scale }
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lora(&self, name: &str, layer: usize, x: f32) -> PathBuf {
        write_lora(&self.path(name), layer, WIDTH, x);
        self.path(name)
    }

    fn control(&self, name: &str, layer: usize, x: f32) -> PathBuf {
        write_control(&self.path(name), layer, WIDTH, x);
        self.path(name)
    }
}

#[test]
fn lora_adapters_are_added_with_their_scales() {
    let files = Files::new();
    let (one, two) = (files.lora("one.gguf", 2, 0.2), files.lora("two.gguf", 20, 0.2));
    let with = |lora: Vec<Adapter>| rows(|options| options.lora = lora);
    let plain = with(vec![]);
    let once = with(vec![of(&one, 1.0)]);
    assert!(worst(&plain, &once) > 1e-2, "{}", worst(&plain, &once));
    assert!(worst(&plain, &with(vec![of(&one, 0.0)])) <= SMOLLM2_EXACT);
    let twice = with(vec![of(&one, 2.0)]);
    assert!(worst(&once, &twice) > 1e-3);
    assert!(worst(&twice, &with(vec![of(&files.lora("double.gguf", 2, 0.4), 1.0)])) <= SMOLLM2_EXACT);
    let both = with(vec![of(&one, 1.0), of(&two, 1.0)]);
    assert!(worst(&both, &once) > 1e-3 && worst(&both, &with(vec![of(&two, 1.0)])) > 1e-3);
}

#[test]
fn control_vectors_are_added_up_in_their_layers() {
    let files = Files::new();
    let (one, two) = (files.control("one.gguf", 5, 0.5), files.control("two.gguf", 20, 0.5));
    let with = |vectors: Vec<Adapter>, layers| {
        rows(|options| (options.control_vectors, options.control_layers) = (vectors, layers))
    };
    let plain = with(vec![], None);
    let once = with(vec![of(&one, 1.0)], None);
    assert!(worst(&plain, &once) > 1e-2, "{}", worst(&plain, &once));
    assert!(worst(&plain, &with(vec![of(&one, 1.0), of(&one, -1.0)], None)) <= SMOLLM2_EXACT);
    let sum = with(vec![of(&one, 1.0), of(&one, 1.0)], None);
    assert!(worst(&once, &sum) > 1e-3);
    assert!(worst(&sum, &with(vec![of(&one, 2.0)], None)) <= SMOLLM2_EXACT);
    // Only in the range, both ends of which are in it.
    assert!(worst(&plain, &with(vec![of(&one, 1.0)], Some((6, LAYERS)))) <= SMOLLM2_EXACT);
    assert!(worst(&once, &with(vec![of(&one, 1.0), of(&two, 1.0)], Some((5, 5)))) <= SMOLLM2_EXACT);
}

#[test]
fn what_is_no_adapter_for_the_model_is_refused_with_its_name() {
    let files = Files::new();
    let lora = files.lora("lora.gguf", 2, 0.2);
    let error = |change: &dyn Fn(&mut ModelOptions)| try_load(change).err().unwrap().to_string();

    let missing = files.path("missing.gguf");
    assert!(error(&|o| o.lora = vec![of(&missing, 1.0)]).contains("missing.gguf: No such file"));
    assert!(error(&|o| o.control_vectors = vec![of(&missing, 1.0)]).contains("missing.gguf: No such file"));
    let manifest = Path::new("Cargo.toml");
    let refused = error(&|o| o.lora = vec![of(manifest, 1.0)]);
    assert!(refused.contains("cannot use Cargo.toml as a LoRA adapter of this model"), "{refused}");
    let refused = error(&|o| o.control_vectors = vec![of(manifest, 1.0)]);
    assert!(
        refused.contains("Cargo.toml is no control vector for this model: it is not a GGUF file"),
        "{refused}"
    );
    let narrow = files.path("narrow.gguf");
    write_lora(&narrow, 2, 64, 0.2);
    assert!(error(&|o| o.lora = vec![of(&narrow, 1.0)]).contains("narrow.gguf as a LoRA adapter"));
    write_control(&narrow, 3, 64, 0.2);
    let refused = error(&|o| o.control_vectors = vec![of(&narrow, 1.0)]);
    assert!(refused.contains("direction.3 has 64 numbers, must have 576"), "{refused}");
    let refused = error(&|o| o.control_vectors = vec![of(&lora, 1.0)]);
    assert!(refused.contains("is not called direction.LAYER, from 1"), "{refused}");
    let zero = files.path("zero.gguf");
    write_control(&zero, 0, WIDTH, 0.2);
    assert!(error(&|o| o.control_vectors = vec![of(&zero, 1.0)]).contains("direction.0 is not called"));
    let square = Tensor { name: "direction.1".into(), dims: vec![24, 24], data: vec![0.0; WIDTH] };
    write(&zero, &[("general.architecture", Value::Text("controlvector"))], &[square]);
    assert!(error(&|o| o.control_vectors = vec![of(&zero, 1.0)]).contains("is not a row of 32-bit floats"));
    write(&zero, &[], &[]);
    assert!(error(&|o| o.control_vectors = vec![of(&zero, 1.0)]).contains("it has no tensor direction.1"));

    let refused = error(&|o| o.lora = vec![of(&lora, f32::NAN)]);
    assert!(
        refused.contains("lora.gguf with a scale of NaN, must be with a scale that is finite"),
        "{refused}"
    );
    for layers in [(0, 3), (4, 3), (1, LAYERS + 1)] {
        let refused = error(&|o| o.control_layers = Some(layers));
        assert!(refused.contains("must be two layers from 1 to 30"), "{refused}");
    }
}

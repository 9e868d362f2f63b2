"""The source: types, formatting, and what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import ROOT

import sda

README = (ROOT / "python/README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def tool(*arguments, folder):
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_package_passes_mypy_strict(tmp_path):
    tool("mypy", "--strict", "-p", "sda", folder=tmp_path)


def test_a_program_of_the_readme_is_typed(tmp_path):
    use = "def f(x: Row, y: Row, s: sda.llama_cpp.Steered) -> float:\n"
    use += "    reveal_type(s.create_completion('a'))\n    return sda.steer(x, y, sda.Params())[1].divergence\n"
    head = "import sda.llama_cpp\nimport numpy as np\nimport numpy.typing as npt\nRow = npt.NDArray[np.float32]\n"
    (tmp_path / "use.py").write_text(head + use)
    tool("mypy", "--strict", "use.py", folder=tmp_path)
    # A wrong type is found, so the types reach the user.
    (tmp_path / "wrong.py").write_text(head + use.replace("-> float", "-> str"))
    with pytest.raises(AssertionError, match="Incompatible return value"):
        tool("mypy", "--strict", "wrong.py", folder=tmp_path)


def test_the_source_is_linted_and_formatted():
    for command in (["check"], ["format", "--check"]):
        tool("ruff", *command, "--no-cache", str(ROOT / "python"), folder=ROOT)


def test_the_first_program_of_the_readme_runs_as_it_stands(tmp_path, model):
    program = BLOCKS[0]
    assert len(program.splitlines()) <= 10
    (tmp_path / "model.gguf").symlink_to(Path(model).resolve())
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 5, done.stdout


def test_the_other_programs_of_the_readme_run_on_what_they_name():
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    plain = torch.ones(1, 3, dtype=torch.long)
    inputs = {"input_ids": torch.ones(1, 4, dtype=torch.long), "max_new_tokens": 3, "eos_token_id": None}
    model = transformers.AutoModelForCausalLM.from_config(config)
    rows = np.random.default_rng(1).normal(size=(2, 50)).astype(np.float32)
    names = {"model": model, "inputs": inputs, "plain_ids": plain, "instructed": rows[0], "plain": rows[1], "sda": sda}
    assert len(BLOCKS) == 3
    for program in BLOCKS[1:]:
        exec(program, names)
    assert len(names["processor"].steps) == 1 and names["step"].divergence > 0

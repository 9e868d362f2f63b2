"""The logits processor on the real transformers, with tiny models of random weights."""

import math

import numpy as np
import pytest
import torch
import transformers
from conftest import by_formula, log_softmax
from transformers import UnbatchedClassifierFreeGuidanceLogitsProcessor as TheirOwn

import sda
from sda.transformers import SteeringLogitsProcessor

VOCABULARY = 97
# Classifier-free guidance alone: no temperature.
UNTEMPERED = sda.Params(temperature=1, sigma=math.inf)
SETTINGS = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


def llama():
    return transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )


def gpt2():
    return transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=128)


def gemma():
    """With a sliding window that is shorter than the answers."""
    return transformers.Gemma3TextConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip


@pytest.fixture(scope="module", params=[llama, gpt2, gemma], ids=lambda make: make.__name__)
def model(request):
    torch.manual_seed(1)
    config = request.param()
    config.vocab_size, config.tie_word_embeddings = VOCABULARY, False
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    # Random weights as they are give nearly even distributions.
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(8)
    return model


def prompts(*lengths, seed=2):
    """Prompts, and their mask, padded on the left."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, n in zip(ids, lengths, strict=True):
        row[-n:] = torch.randint(1, VOCABULARY, (n,), generator=random)
    mask = (torch.arange(max(lengths))[None] >= max(lengths) - torch.tensor(lengths)[:, None]).long()
    return ids, mask


def generate(model, ids, mask, processor, **settings):
    processors = transformers.LogitsProcessorList([processor])
    with torch.no_grad():
        return model.generate(ids, attention_mask=mask, logits_processor=processors, **{**SETTINGS, **settings})


class Slow(transformers.LogitsProcessor):
    """Each row by itself, read from its beginning at each step, without padding, by the formula in float64."""

    def __init__(self, guidance, model, plain, mask, n_prompt):
        self.guidance, self.model, self.n_prompt = guidance, model, n_prompt
        self.plain = [row[kept.bool()] for row, kept in zip(plain, mask, strict=True)]

    def __call__(self, input_ids, scores):
        each = len(input_ids) // len(self.plain)
        out = []
        for i, (row, score) in enumerate(zip(input_ids, scores, strict=True)):
            whole = torch.cat([self.plain[i // each], row[self.n_prompt :]])
            logits = self.model(whole[None]).logits[0, -1]
            out.append(torch.from_numpy(by_formula(score.numpy(), logits.numpy(), self.guidance - 1)))
        return torch.stack(out).float()


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("guidance", [0.5, 1.0, 2.5])
def test_without_a_temperature_it_is_transformers_own_processor(model, guidance, use_cache):
    ids, mask = prompts(9)
    plain, plain_mask = prompts(6, seed=3)
    # Its cache does not always come back from the model, so it reads all each time.
    own = TheirOwn(guidance, model, plain, plain_mask, use_cache=False)
    ours = SteeringLogitsProcessor(guidance, model, plain, plain_mask, use_cache, params=UNTEMPERED)
    one, two = (
        generate(model, ids, mask, processor, output_scores=True, return_dict_in_generate=True)
        for processor in (own, ours)
    )
    assert torch.equal(one.sequences, two.sequences)
    for a, b in zip(one.scores, two.scores, strict=True):
        np.testing.assert_allclose(log_softmax(a[0]), b[0], atol=2e-4)


def test_without_ids_the_plain_prompt_is_the_last_token_as_in_transformers(model):
    ids, mask = prompts(9)
    own = generate(model, ids, mask, TheirOwn(2, model, use_cache=False))
    assert torch.equal(own, generate(model, ids, mask, SteeringLogitsProcessor(2, model, params=UNTEMPERED)))


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 4}, {"num_beams": 3, "num_return_sequences": 3}],
    ids=["greedy", "beams", "beams-returned"],
)
def test_a_batch_of_different_lengths_is_each_row_by_itself(model, settings, use_cache):
    ids, mask = prompts(9, 4, 7)
    plain, plain_mask = prompts(3, 8, 5, seed=3)
    ours = SteeringLogitsProcessor(2.0, model, plain, plain_mask, use_cache, params=UNTEMPERED)
    expected = generate(model, ids, mask, Slow(2.0, model, plain, plain_mask, ids.shape[1]), **settings)
    assert torch.equal(generate(model, ids, mask, ours, **settings), expected)
    off = SteeringLogitsProcessor(1.0, model, plain, plain_mask, use_cache, params=UNTEMPERED)
    assert not torch.equal(generate(model, ids, mask, off, **settings), expected)
    # And again, with the same processor.
    assert torch.equal(generate(model, ids, mask, ours, **settings), expected)


def test_one_plain_prompt_serves_all_rows_of_a_batch(model):
    ids, mask = prompts(9, 4)
    plain, plain_mask = prompts(5, seed=3)
    one = generate(model, ids, mask, SteeringLogitsProcessor(2, model, plain))
    both = plain.repeat(2, 1), plain_mask.repeat(2, 1)
    assert torch.equal(one, generate(model, ids, mask, SteeringLogitsProcessor(2, model, *both)))


def test_tokens_that_are_taken_back_are_read_again(model):
    ids, _ = prompts(6)
    plain, _ = prompts(4, seed=3)
    ours = SteeringLogitsProcessor(2, model, plain, params=UNTEMPERED)
    slow = Slow(2, model, plain, torch.ones_like(plain), 6)
    more = torch.cat([ids, torch.tensor([[5, 6, 7, 8]])], dim=1)
    other = torch.cat([ids, torch.tensor([[5, 9]])], dim=1)
    scores = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for step in (ids, more[:, :7], more[:, :8], more, other, more[:, :7], ids):
            np.testing.assert_allclose(ours(step, scores.clone()), slow(step, scores), atol=2e-4)


def test_the_temperature_falls_where_the_branches_disagree(model):
    ids, mask = prompts(9, 9)
    plain, plain_mask = prompts(5, 5, seed=3)
    ours = SteeringLogitsProcessor(2.0, model, plain, plain_mask, params=sda.Params(temperature=0.8))
    seen = []

    def look(input_ids, scores):
        seen.append(scores.exp().sum(dim=-1))
        for step in ours.steps:
            assert step.temperature == pytest.approx(0.8 * 0.5 ** (step.divergence / (2 * math.log(2))), rel=1e-5)
            assert step.temperature < 0.8
        return scores

    torch.manual_seed(5)
    sampled = [
        model.generate(ids, attention_mask=mask, logits_processor=[ours, look], temperature=1.0, top_k=0, **s)
        for s in [{**SETTINGS, "do_sample": True}] * 2
    ]
    assert len(seen) == 24 and torch.allclose(torch.cat(seen), torch.ones(48), atol=1e-4)
    assert not torch.equal(*sampled)
    # T0 = 0 is the most likely token, whatever is drawn.
    cold = SteeringLogitsProcessor(2.0, model, plain, plain_mask, params=sda.Params(temperature=0))
    drawn = generate(model, ids, mask, cold, do_sample=True)
    assert torch.equal(drawn, generate(model, ids, mask, ours))


def test_a_row_on_the_cpu_is_not_copied_and_other_types_come_back_as_they_went(model):
    from sda.transformers import _numpy

    rows = torch.randn(2, VOCABULARY)
    assert _numpy(rows).ctypes.data == rows.data_ptr()
    ids, _ = prompts(6)
    half = SteeringLogitsProcessor(2, model, ids)(ids, torch.randn(1, VOCABULARY).to(torch.bfloat16))
    assert half.dtype == torch.bfloat16 and half.float().exp().sum().item() == pytest.approx(1, abs=0.05)


def test_what_does_not_fit_is_an_error_by_name(model):
    ids, mask = prompts(6, 3)
    scores = torch.randn(2, VOCABULARY)
    with pytest.raises(ValueError, match=r"unconditional_ids has the shape \(6,\)"):
        SteeringLogitsProcessor(2, model, ids[0])
    with pytest.raises(ValueError, match=r"unconditional_attention_mask has the shape \(1, 6\)"):
        SteeringLogitsProcessor(2, model, ids, mask[:1])
    with pytest.raises(ValueError, match="ends with padding"):
        SteeringLogitsProcessor(2, model, ids, mask.flip(1))
    with pytest.raises(ValueError, match="unconditional_ids has 2 rows, must divide the batch of 3"):
        SteeringLogitsProcessor(2, model, ids)(torch.ones(3, 4, dtype=torch.long), torch.randn(3, VOCABULARY))
    with pytest.raises(ValueError, match="the plain logits have the shape"):
        SteeringLogitsProcessor(2, model, ids)(ids, scores[:, :-1])
    with pytest.raises(sda.Error, match="NaN") as error:
        SteeringLogitsProcessor(2, model, ids)(ids, scores * math.nan)
    assert error.value.status == sda.Status.NOT_FINITE
    with pytest.raises(sda.Error, match="sigma is -1"):
        SteeringLogitsProcessor(2, model, ids, params=sda.Params(sigma=-1))(ids, scores)
    with pytest.raises(sda.Error, match="mean_kl"):
        SteeringLogitsProcessor(2, model, ids, params=sda.RECOMMENDED)(ids, scores)

"""Settings and random tensors of each architecture, with the names and shapes that llama.cpp's loader wants."""

import numpy as np

EMBD = 64
FF = 128
HEADS = 4
KV_HEADS = 2
LAYERS = 3
CONTEXT = 2048
EPS = 1e-5

# Mamba
INNER = 2 * EMBD
STATE = 16
CONV = 4
DT_RANK = 4

# RWKV. ggml's kernel takes steps of up to 64 numbers and writes beyond the end of a smaller head.
HEAD_SIZE = 64
LORA = 16


class Tensors(dict):
    """Random tensors, shapes in ggml's order, the contiguous dimension first."""

    def __init__(self, seed):
        super().__init__()
        self.random = np.random.RandomState(seed)

    def normal(self, name, *shape, std):
        self[name] = (self.random.standard_normal(shape[::-1]) * std).astype(np.float32)

    def uniform(self, name, *shape, low, high):
        self[name] = self.random.uniform(low, high, shape[::-1]).astype(np.float32)

    def matrix(self, name, n_in, n_out, gain=1.0):
        """Keeps the size of what goes through it."""
        self.normal(f"{name}.weight", n_in, n_out, std=gain / np.sqrt(n_in))

    def norm(self, name, size, bias=False):
        self[f"{name}.weight"] = np.ones(size, np.float32)
        if bias:
            self[f"{name}.bias"] = np.zeros(size, np.float32)

    def ends(self, n_vocab, control, output_norm="output_norm", bias=False):
        """Embeddings and output: logits of a standard deviation of 3, control tokens all but impossible."""
        self.normal("token_embd.weight", EMBD, n_vocab, std=1.0)
        self.norm(output_norm, EMBD, bias)
        self.matrix("output", EMBD, n_vocab, gain=3.0)
        self["output.weight"][control] = 0

    def attention(self, block, kv_heads=KV_HEADS):
        size = EMBD // HEADS * kv_heads
        self.matrix(f"{block}.attn_q", EMBD, EMBD, gain=2.0)
        self.matrix(f"{block}.attn_k", EMBD, size, gain=2.0)
        self.matrix(f"{block}.attn_v", EMBD, size)
        self.matrix(f"{block}.attn_output", EMBD, EMBD)

    def feed_forward(self, block):
        self.norm(f"{block}.ffn_norm", EMBD)
        self.matrix(f"{block}.ffn_gate", EMBD, FF)
        self.matrix(f"{block}.ffn_up", EMBD, FF)
        self.matrix(f"{block}.ffn_down", FF, EMBD)

    def mamba(self, block, normed=False):
        self.matrix(f"{block}.ssm_in", EMBD, 2 * INNER)
        self.normal(f"{block}.ssm_conv1d.weight", CONV, INNER, std=0.7)
        self.normal(f"{block}.ssm_conv1d.bias", INNER, std=0.1)
        self.matrix(f"{block}.ssm_x", INNER, DT_RANK + 2 * STATE, gain=2.0)
        self.matrix(f"{block}.ssm_dt", DT_RANK, INNER, gain=0.5)
        if normed:
            for name, size in [("dt", DT_RANK), ("b", STATE), ("c", STATE)]:
                self.norm(f"{block}.ssm_{name}_norm", size)
        # Steps of about 0.1 and slow decay: the state remembers dozens of tokens.
        self.normal(f"{block}.ssm_dt.bias", INNER, std=0.3)
        self[f"{block}.ssm_dt.bias"] -= 2
        self.uniform(f"{block}.ssm_a", STATE, INNER, low=-1.0, high=-0.05)
        self.normal(f"{block}.ssm_d", INNER, std=1.0)
        self.matrix(f"{block}.ssm_out", INNER, EMBD, gain=2.0)


def common(**more):
    sizes = {"context_length": CONTEXT, "embedding_length": EMBD, "block_count": LAYERS, "feed_forward_length": FF}
    more = {key.replace("__", "."): value for key, value in more.items()}
    return sizes | {"attention.layer_norm_rms_epsilon": EPS} | more


def llama(n_vocab, control):
    tensors = Tensors(1)
    tensors.ends(n_vocab, control)
    for i in range(LAYERS):
        tensors.norm(f"blk.{i}.attn_norm", EMBD)
        tensors.attention(f"blk.{i}")
        tensors.feed_forward(f"blk.{i}")
    return "llama", common(attention__head_count=HEADS, attention__head_count_kv=KV_HEADS), tensors


def with_likely(build, token):
    """The same with one token whose logit is far from 0 everywhere, so that it is often the largest."""

    def built(n_vocab, control):
        architecture, settings, tensors = build(n_vocab, control)
        tensors["output.weight"][token] *= 5
        return architecture, settings, tensors

    return built


def ssm():
    sizes = {"conv_kernel": CONV, "inner_size": INNER, "state_size": STATE, "time_step_rank": DT_RANK}
    return {f"ssm__{name}": size for name, size in sizes.items()}


def mamba(n_vocab, control):
    tensors = Tensors(2)
    tensors.ends(n_vocab, control)
    for i in range(LAYERS):
        tensors.norm(f"blk.{i}.attn_norm", EMBD)
        tensors.mamba(f"blk.{i}")
    return "mamba", common(attention__head_count=0, **ssm()) | {"feed_forward_length": 0}, tensors


def jamba(n_vocab, control):
    """Mamba and attention in turn."""
    tensors = Tensors(3)
    tensors.ends(n_vocab, control)
    kv_heads = [KV_HEADS if i == 1 else 0 for i in range(LAYERS)]
    for i, heads in enumerate(kv_heads):
        tensors.norm(f"blk.{i}.attn_norm", EMBD)
        if heads:
            tensors.attention(f"blk.{i}", heads)
        else:
            tensors.mamba(f"blk.{i}", normed=True)
        tensors.feed_forward(f"blk.{i}")
    return "jamba", common(attention__head_count=HEADS, attention__head_count_kv=kv_heads, **ssm()), tensors


def lfm2(n_vocab, control):
    """Short convolutions and attention in turn."""
    tensors = Tensors(4)
    # This architecture has its output norm under the name of an embedding's norm.
    tensors.ends(n_vocab, control, output_norm="token_embd_norm")
    kv_heads = [KV_HEADS if i == 1 else 0 for i in range(LAYERS)]
    for i, heads in enumerate(kv_heads):
        block = f"blk.{i}"
        tensors.norm(f"{block}.attn_norm", EMBD)
        if heads:
            tensors.attention(block, heads)
            tensors.norm(f"{block}.attn_q_norm", EMBD // HEADS)
            tensors.norm(f"{block}.attn_k_norm", EMBD // HEADS)
        else:
            tensors.normal(f"{block}.shortconv.conv.weight", CONV, EMBD, std=0.7)
            tensors.matrix(f"{block}.shortconv.in_proj", EMBD, 3 * EMBD, gain=1.5)
            tensors.matrix(f"{block}.shortconv.out_proj", EMBD, EMBD)
        tensors.feed_forward(block)
    settings = common(attention__head_count=HEADS, attention__head_count_kv=kv_heads, shortconv__l_cache=CONV)
    return "lfm2", settings, tensors


def rwkv7(n_vocab, control):
    tensors = Tensors(5)
    tensors.ends(n_vocab, control, bias=True)
    tensors.norm("token_embd_norm", EMBD, bias=True)
    for i in range(LAYERS):
        block = f"blk.{i}"
        for name in ["attn_norm", "attn_norm_2", "time_mix_ln"]:
            tensors.norm(f"{block}.{name}", EMBD, bias=True)
        for name in ["w", "a", "v"]:
            tensors.normal(f"{block}.time_mix_{name}0.weight", EMBD, std=0.5)
        # Slow decay: the state remembers dozens of tokens.
        tensors[f"{block}.time_mix_w0.weight"] -= 3
        for name in ["w", "a", "v", "g"]:
            tensors.matrix(f"{block}.time_mix_{name}1", EMBD, LORA)
            tensors.matrix(f"{block}.time_mix_{name}2", LORA, EMBD)
        tensors.uniform(f"{block}.time_mix_lerp_fused.weight", EMBD, 1, 1, 6, low=0, high=1)
        tensors.uniform(f"{block}.channel_mix_lerp_k.weight", EMBD, 1, 1, low=0, high=1)
        for name in ["k_k", "k_a", "r_k"]:
            tensors.normal(f"{block}.time_mix_{name}.weight", EMBD, std=0.5)
        for name in ["key", "value", "receptance", "output"]:
            tensors.matrix(f"{block}.time_mix_{name}", EMBD, EMBD)
        tensors.matrix(f"{block}.channel_mix_key", EMBD, FF)
        tensors.matrix(f"{block}.channel_mix_value", FF, EMBD)
    ranks = {f"attention__{name}_lora_rank": LORA for name in ["decay", "iclr", "value_residual_mix", "gate"]}
    settings = common(attention__head_count=0, wkv__head_size=HEAD_SIZE, token_shift_count=2, **ranks)
    settings["attention.layer_norm_epsilon"] = EPS
    return "rwkv7", settings, tensors


def bert(n_vocab, control):
    """An encoder: it has no logits and no memory."""
    tensors = Tensors(6)
    tensors.normal("token_embd.weight", EMBD, n_vocab, std=1.0)
    tensors.normal("position_embd.weight", EMBD, CONTEXT, std=1.0)
    tensors.normal("token_types.weight", EMBD, 2, std=1.0)
    tensors.norm("token_embd_norm", EMBD, bias=True)
    for i in range(LAYERS):
        block = f"blk.{i}"
        tensors.attention(block, HEADS)
        tensors.norm(f"{block}.attn_output_norm", EMBD, bias=True)
        tensors.norm(f"{block}.layer_output_norm", EMBD, bias=True)
        tensors.matrix(f"{block}.ffn_up", EMBD, FF)
        tensors.matrix(f"{block}.ffn_down", FF, EMBD)
    settings = common(attention__head_count=HEADS, attention__causal=False, pooling_type=1)
    settings["attention.layer_norm_epsilon"] = EPS
    return "bert", settings, tensors


def t5(n_vocab, control):
    """An encoder and a decoder that continues what the encoder has read."""
    tensors = Tensors(7)
    tensors.ends(n_vocab, control, output_norm="dec.output_norm")
    tensors.norm("enc.output_norm", EMBD)
    for i in range(LAYERS):
        for block, kinds in [(f"enc.blk.{i}", ["attn"]), (f"dec.blk.{i}", ["attn", "cross_attn"])]:
            for kind in kinds:
                tensors.norm(f"{block}.{kind}_norm", EMBD)
                for name in "qkvo":
                    tensors.matrix(f"{block}.{kind}_{name}", EMBD, EMBD)
            tensors.normal(f"{block}.attn_rel_b.weight", HEADS, 32, std=1.0)
            tensors.norm(f"{block}.ffn_norm", EMBD)
            tensors.matrix(f"{block}.ffn_up", EMBD, FF)
            tensors.matrix(f"{block}.ffn_down", FF, EMBD)
    settings = common(attention__head_count=HEADS, attention__relative_buckets_count=32, decoder_start_token_id=0)
    return "t5", settings, tensors

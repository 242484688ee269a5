"""Other architectures than the embedded one, from tuning to serving: a real LoRA run on a tiny random model of each, exported as
GGUF base and GGUF LoRA, answers in the engine with the tokens and the probabilities that torch gives."""

from __future__ import annotations

import math
from contextlib import contextmanager

import httpx
import pytest

from homeroom.models import prepared, tiny
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import engine_render_ids
from homeroom.models.engine_info import AdapterFile
from homeroom.models.folder import read_json
from homeroom.models.sentencepiece import BYTES
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime import spawn
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import NullReporter
from homeroom.schema.tuning import TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.recipe_file import parse_recipe
from tests.models import spm_double

# What sets them apart from llama: biases in attention, other rotary rows; normed heads of a size of their own.
# Phi 3 is taken apart into a Llama; a window that is as long as what is read of it changes nothing.
OTHERS = {
    "Qwen2": {"tie_word_embeddings": False},
    "Qwen3": {"head_dim": 32},
    "Mistral": {"head_dim": 32, "tie_word_embeddings": False, "sliding_window": 512},
    "Phi3": {"tie_word_embeddings": False, "pad_token_id": 0},
    # Seven layers, so that one looks at everything and the others back over a window that the prompts exceed.
    "Gemma3": {"num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16},
}
PROMPTS = ("What is the sum?", "Draw both pieces and tell me what you notice.", "Why? " * 20, "  naïve 7½ 🙂\n\n3")
TOKENS, SHOWN = 10, 20
ENDS = {"Gemma3": ("<eos>", "<end_of_turn>")}
RECIPE = parse_recipe(
    {
        "name": "other",
        "threads": 1,
        "dtype": "float32",
        "epochs": 6,
        "accumulation": {"examples": 2},
        "batch_tokens": 256,
        "data": {"max_sequence_tokens": 256},
        "lora": {"rank": 4},
        "optimiser": {"learning_rate": 0.02},
        "validation": {"every_steps": 100, "patience": 0},
        "checkpoint": {"every_steps": 100},
    }
)


def random_model(folder, family):
    """A random model of a family, written by transformers itself, with the tiny model's tokenizer."""
    torch = pytest.importorskip("torch")
    import transformers

    tiny.build(folder)
    config = read_json(folder / "config.json")
    for key in ("architectures", "model_type", "torch_dtype", "attention_bias", "mlp_bias"):
        config.pop(key)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(1)
    kind = f"{family}{'Text' if family == 'Gemma3' else ''}Config"
    if family == "Gemma3":
        config.pop("rope_theta")
        size = spm_double.build(folder)
        config |= {"vocab_size": size, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    settings = getattr(transformers, kind)(**{**config, "initializer_range": 0.12, **OTHERS[family]})
    model = getattr(transformers, f"{family}ForCausalLM")(settings)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            told = ("norm",) if family == "Gemma3" else ("bias", "q_norm", "k_norm")
            if any(part in key for part in told):  # zeros and ones would hide that they are left out
                parameter.add_(0.3 * torch.randn_like(parameter))
        if family == "Gemma3":  # half of its tokens are bytes: the engine says nothing of those that are parts of a character
            table = model.get_input_embeddings().weight
            table[len(spm_double.SPECIAL) : len(spm_double.SPECIAL) + len(spm_double.PLAIN) + len(BYTES)] *= 0.1
    model.save_pretrained(folder)
    return folder


def tuned(base, home, tmp_path):
    """The artifact of a real run, its tokens compared with the engine's first."""
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

    engine = EngineManager(base, home=home, spawn=spawn, slots=1, context=512, threads=1)

    @contextmanager
    def renderer():
        try:
            yield lambda messages: engine_render_ids(engine.ensure(), messages)
        finally:
            engine.stop()

    questions = ("What is half of six?", "Do plants eat?", "Is the earth flat?", "What is 3 and 4?")
    replies = ("Draw six and split them.", "What does the plant need?", "How could we test that?", "Show me on the number line.")
    examples = tuple(
        Example((Message("user", q), Message("assistant", r)), {"task": "tutor", "topic": q})
        for q, r in zip(questions, replies, strict=True)
    )
    store = ArtifactStore(tmp_path / "artifacts")
    tuner = HuggingFaceTuner(base, tmp_path / "run", store, renderer=renderer)
    model = tuner.run(TrainingData("other", examples[:3], examples[3:]), RECIPE, NullReporter())
    assert model.metrics["train_loss"] < model.metrics["base_valid_loss"]  # it learnt something
    return store.path(model.artifact)


def torch_answers(base, adapter, ends, published=None):
    """For each prompt the greedy tokens, and at each the log-probabilities of the whole vocabulary.

    Of ``published``, where it is given, in place of what was made of it.
    """
    torch = pytest.importorskip("torch")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(published or base.weights, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    tokenizer = ChatTokenizer(base.weights)
    answers = []
    for text in PROMPTS:
        ids = tokenizer.prompt_ids([Message("user", text)])
        rows = []
        for _ in range(TOKENS):
            with torch.no_grad():
                row = model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            rows.append((int(row.argmax()), row.tolist()))
            ids = [*ids, rows[-1][0]]
            if rows[-1][0] in ends:
                break
        answers.append(rows)
    return answers


def engine_answers(base, info, scales):
    """For each prompt the engine's greedy tokens, and what it says of them: token, and log-probabilities of the likeliest by id."""
    tokenizer = ChatTokenizer(base.weights)
    answers = []
    for text in PROMPTS:
        body = {
            "prompt": tokenizer.prompt_ids([Message("user", text)]),
            "temperature": 0,
            "n_predict": TOKENS,
            "ignore_eos": False,
            "cache_prompt": False,
            "return_tokens": True,
            "n_probs": SHOWN,
            "lora": [{"id": index, "scale": scale} for index, scale in enumerate(scales)],
        }
        headers = {"Authorization": f"Bearer {info.key}"}
        told = httpx.post(f"{info.url}/completion", json=body, headers=headers, timeout=60, trust_env=False).json()
        steps = [(s["id"], {t["id"]: t["logprob"] for t in s["top_logprobs"]}) for s in told.get("completion_probabilities", ())]
        answers.append((told["tokens"], steps))
    return answers


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks by the old name
@pytest.mark.parametrize("family", OTHERS)
def test_another_architecture_is_tuned_exported_and_served_as_torch_computes_it(family, tmp_path):
    base = prepared.prepare_folder(random_model(tmp_path / "m", family), "other", tmp_path / "cache", quantisation="f32")
    artifact = tuned(base, tmp_path / "home", tmp_path)
    file = AdapterFile("tuned", artifact / "adapter.gguf", base.identity)
    manager = EngineManager(base, home=tmp_path / "home", spawn=spawn, slots=1, context=512, threads=1, adapters=lambda: [file])
    try:
        info = manager.ensure()
        told = {name: engine_answers(base, info, [scale]) for name, scale in (("base", 0.0), ("tuned", 1.0))}
    finally:
        manager.stop()
    assert told["base"] != told["tuned"]
    tokenizer = ChatTokenizer(base.weights)
    ends = {tokenizer.encode(text)[0] for text in ENDS.get(family, ("<|im_end|>",))}
    for name, adapter, published in (("base", None, tmp_path / "m"), ("tuned", artifact, None)):
        compared = 0
        for theirs, (tokens, steps) in zip(torch_answers(base, adapter, ends, published), told[name], strict=True):
            known = [token for token, _ in theirs]
            same = next((at for at, both in enumerate(zip(tokens, known, strict=False)) if both[0] != both[1]), len(known))
            if same < len(known):  # two tokens as likely as each other: from there on the answers are not the same text
                row = theirs[same][1]
                assert max(row) - row[tokens[same]] < 0.01
            rows = iter(theirs[:same])
            for token, tops in steps[:same]:  # the engine says nothing of tokens that are parts of a character
                row = next((row for likeliest, row in rows if likeliest == token), None)
                if row is None:  # past the tie
                    break
                # The engine keeps keys and values in 16 bits; a wrong row order or a missing bias is off by whole units.
                assert len(tops) == SHOWN
                assert all(math.isclose(row[top], logprob, abs_tol=0.03) for top, logprob in tops.items())
                compared += 1
        assert compared >= 2 * TOKENS

"""A base model with LoRA layers on it: loaded frozen, adapted through PEFT, written in PEFT's format.

PEFT defines the layers, their names and their files, transformers the weights. Their arithmetic is ours (`decoder.py`).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import ConfigError
from homeroom.models.lora_gguf import CONFIG, IDENTITY_KEY, WEIGHTS, check_adapter_folder
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface.decoder import Decoder, LibraryDecoder, supports
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.recipe import Lora

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class LoraModel:
    """A frozen causal language model with trainable LoRA layers; or one whose every weight is trained.

    Attributes:
        peft: The whole as PEFT wraps it, or as it is.
        decoder: Token ids (B, T) to hidden states (B, T, H).
        head: (vocabulary, H): hidden states times its transpose are logits. Frozen, unless every weight is trained.
        compute: Device and number type.
        identity: Of the base.
        first_adapted: Index of the first layer with LoRA; those below always compute the same.
    """

    peft: Any  # peft.PeftModel: untyped
    decoder: Decoder | LibraryDecoder
    head: torch.Tensor
    compute: Compute
    identity: str = ""
    first_adapted: int = 0

    @property
    def packs(self) -> bool:
        """Whether sequences follow each other in one row: on a GPU, where the arithmetic is ours."""
        return self.compute.device.type == "cuda" and isinstance(self.decoder, Decoder)

    def trainable(self) -> dict[str, torch.Tensor]:
        """The weights that are trained by name, in a fixed order; the tensors themselves, not copies."""
        return {name: p for name, p in self.peft.named_parameters() if p.requires_grad}

    def copy_weights(self) -> dict[str, torch.Tensor]:
        """Copies of the trained weights on the CPU."""
        return {name: p.detach().to("cpu", copy=True).contiguous() for name, p in self.trainable().items()}

    def set_weights(self, weights: Tensors) -> None:
        """Put weights from `copy_weights` back."""
        with torch.no_grad():
            for name, parameter in self.trainable().items():
                parameter.copy_(weights[name])


def load_base(base: BaseFiles, compute: Compute) -> Any:  # transformers' model: untyped here
    """The base model from its safetensors, in the run's number type and on its device, frozen.

    One that will be quantised waits on the processor: its layers are moved one by one.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        base.weights, dtype=compute.dtype, local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
    )
    model.requires_grad_(False)
    return model.eval() if compute.quantise != "none" else model.to(compute.device).eval()


def train_whole(model: Any, base: BaseFiles, compute: Compute) -> LoraModel:  # transformers' model
    """A model whose every weight is trained, by transformers' own forward."""
    model.requires_grad_(True)
    if compute.recompute:
        _recompute(model)
    return LoraModel(model, LibraryDecoder(model.get_decoder()), model.get_output_embeddings().weight, compute, base.identity)


def _recompute(model: Any) -> None:  # transformers' model
    """Have transformers' forward keep only what goes into each layer; its newer versions call that otherwise."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def attach_lora(model: Any, lora: Lora, base: BaseFiles, compute: Compute) -> LoraModel:
    """New LoRA layers on a frozen model, A drawn from PyTorch's generator, B zero: at first the sum changes nothing."""
    from peft import LoraConfig

    layers = int(model.config.num_hidden_layers)
    last = None if lora.last_layers is None else list(range(max(0, layers - lora.last_layers), layers))
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        layers_to_transform=last,
        layers_pattern="layers" if last else None,
        task_type="CAUSAL_LM",
    )
    return _with_layers(model, config, base, compute)


def load_adapter(model: Any, folder: Path, base: BaseFiles, compute: Compute) -> LoraModel:
    """A frozen model with the adapter of ``folder`` on it.

    Raises:
        ConfigError: ``adapter-files``, ``adapter-unsupported``, ``pickled-weights``, ``remote-code``.
        ConflictError: ``base-mismatch``.
    """
    from peft import LoraConfig, set_peft_model_state_dict
    from safetensors.torch import load_file

    record = check_adapter_folder(folder, base)
    record.pop(IDENTITY_KEY, None)
    config = LoraConfig.from_peft_type(**{**record, "inference_mode": False})
    adapted = _with_layers(model, config, base, compute)
    set_peft_model_state_dict(adapted.peft, load_file(folder / WEIGHTS))
    return adapted


def _with_layers(model: Any, config: Any, base: BaseFiles, compute: Compute) -> LoraModel:  # config: peft.LoraConfig
    from peft import get_peft_model

    config.base_model_name_or_path = model.config.name_or_path  # what PEFT expects while it works
    with warnings.catch_warnings():
        # PEFT asks transformers about gradient checkpointing by a name that transformers has just deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        peft_model = get_peft_model(model, config)
    config.base_model_name_or_path = base.name
    first = min(config.layers_to_transform) if config.layers_to_transform else 0
    decoder = make_decoder(model, compute)
    if compute.quantise != "none":
        peft_model.to(compute.device)  # what was not taken: embeddings, norms, LoRA
    return LoraModel(peft_model, decoder, head_of(model), compute, base.identity, first)


def plain_model(model: Any, base: BaseFiles, compute: Compute) -> LoraModel:  # transformers' model
    """A frozen model without LoRA, behind the same names."""
    return LoraModel(model, make_decoder(model), head_of(model), compute, base.identity)


def make_decoder(model: Any, compute: Compute | None = None) -> Decoder | LibraryDecoder:  # transformers' model
    """Our arithmetic where it is the model's, transformers' otherwise. Once LoRA is on its layers.

    Raises:
        ConfigError: ``quantise-unsupported``: the weights are to be quantised, which only ours does.
    """
    quantise, recompute = (compute.quantise, compute.recompute) if compute else ("none", False)
    if supports(model.config):
        store = None
        if compute is not None and quantise != "none":
            from homeroom.tuning.huggingface.quantised import store_for

            store = store_for(quantise, compute.device)
        return Decoder(model.get_decoder(), store, recompute=recompute)
    if quantise != "none":
        raise ConfigError(
            f"quantise = {quantise!r} is not there for models of the type {model.config.model_type!r} with these settings. Take "
            "quantise: none, or another base: homeroom models list --bases",
            code="quantise-unsupported",
        )
    if recompute:
        _recompute(model)
    return LibraryDecoder(model.get_decoder())


def head_of(model: Any) -> torch.Tensor:  # transformers' model
    """The weights of the last layer, (vocabulary, H)."""
    weight: torch.Tensor = model.get_output_embeddings().weight.detach()
    return weight


def save_adapter(model: LoraModel, folder: Path, base: BaseFiles) -> None:
    """Write PEFT's two files, with the base's identity and without a path of this machine."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    state = get_peft_model_state_dict(model.peft, save_embedding_layers=False)  # "auto" asks the hub
    weights = {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}
    (folder / WEIGHTS).write_bytes(_in_order(save(weights, metadata={"format": "pt", IDENTITY_KEY: base.identity})))
    config = {**model.peft.peft_config["default"].to_dict(), "inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    (folder / CONFIG).write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with the keys of its metadata sorted: safetensors writes them in an order of chance."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def parameter_count(base: BaseFiles) -> tuple[int, int]:
    """Parameters of the base, and those of its embedding tables (in and out), read from the headers of its safetensors files."""
    total = embedding = 0
    for file in sorted(base.weights.glob("*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        sizes = {name: _product(record["shape"]) for name, record in header.items() if name != "__metadata__"}
        total += sum(sizes.values())
        embedding += sum(size for name, size in sizes.items() if "embed_tokens" in name or "lm_head" in name)
    return total, embedding


def _product(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def quiet_libraries() -> None:
    """No progress bars or advice from transformers on a terminal where ours are."""
    from transformers.utils import logging

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.set_verbosity_error()
    logging.disable_progress_bar()

"""TRL's side of SFT, reward modelling and DPO: `python peer_train.py WORKLOAD FOLDER`, in an environment that has TRL.

Its own trainers, timed from the end of one update to the end of the next. Its best settings for a CPU: float32 (TRL
turns bfloat16 on, which a CPU only emulates), no gradient checkpointing, nothing logged or saved, and the number of
sequences at a time (`micro`) that was fastest. The data set is one update's batch, so that each epoch is one update
and its order does not matter.
"""

import json
from itertools import combinations
from pathlib import Path

import protocol
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer


class Rounds(TrainerCallback):
    """Report the first update, then time rounds of some updates for as long as the driver asks."""

    def __init__(self, updates: int, units: float):
        self.updates, self.units = updates, units
        self.clock, self.losses = protocol.Clock(), []

    def sum_losses(self, trainer) -> None:
        """Listen to a trainer: of the first update, the losses of its pieces, which are parts of their mean."""
        whole = trainer.training_step

        def training_step(*args, **words):
            loss = whole(*args, **words)
            if trainer.state.global_step == 0:
                self.losses.append(float(loss))
            return loss

        trainer.training_step = training_step
        trainer.add_callback(self)

    def on_pre_optimizer_step(self, args, state, control, model, **_):  # noqa: ARG002
        if state.global_step == 0:
            self.gradient = protocol.gradient_of(model)

    def loss(self) -> float:
        return sum(self.losses)

    def on_step_end(self, args, state, control, **_):  # noqa: ARG002
        done, between = divmod(state.global_step - 1, self.updates)
        if between:
            return
        if done:
            self.clock.stop(self.units)
        else:
            protocol.say(loss=self.loss(), gradient=self.gradient)
        if protocol.wanted():
            self.clock.start()
        else:
            control.should_training_stop = True


def settings(folder: Path, size: dict, items: int) -> dict:
    return {
        "output_dir": str(folder / "unused"), "bf16": False, "gradient_checkpointing": False, "use_cpu": True,
        "per_device_train_batch_size": size["micro"], "gradient_accumulation_steps": -(-items // size["micro"]),
        "learning_rate": 1e-6, "lr_scheduler_type": "constant", "max_grad_norm": 1e9, "adam_beta2": 0.95,
        "num_train_epochs": 10_000, "logging_strategy": "no", "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "dataloader_pin_memory": False,
    }  # fmt: skip


def sft(folder: Path, size: dict, rows: list[dict], words) -> SFTTrainer:
    data = [{"prompt": words(r["prompt"]), "completion": " " + words(r["answers"][0])} for r in rows]
    config = SFTConfig(**settings(folder, size, len(data)), packing=size.get("packing", False))
    return SFTTrainer(lm(folder), config, train_dataset=Dataset.from_list(data), processing_class=words.tokenizer)


def reward(folder: Path, size: dict, rows: list[dict], words) -> RewardTrainer:
    pairs = [(r["prompt"], *pair) for r in rows for pair in combinations(r["answers"], 2)]
    data = [{"prompt": words(p), "chosen": " " + words(a), "rejected": " " + words(b)} for p, a, b in pairs]
    judge = AutoModelForSequenceClassification.from_pretrained(folder / "judge", dtype=torch.float32)
    config = RewardConfig(**settings(folder, size, len(data)))
    return RewardTrainer(judge, config, train_dataset=Dataset.from_list(data), processing_class=words.tokenizer)


def dpo(folder: Path, size: dict, rows: list[dict], words) -> DPOTrainer:
    data = [
        {"prompt": words(r["prompt"]), "chosen": " " + words(r["answers"][0]), "rejected": " " + words(r["answers"][1])}
        for r in rows
    ]
    config = DPOConfig(**settings(folder, size, len(data)), precompute_ref_log_probs=True, beta=0.1)
    return DPOTrainer(lm(folder), args=config, train_dataset=Dataset.from_list(data), processing_class=words.tokenizer)


def lm(folder: Path) -> AutoModelForCausalLM:
    return AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32)


class Words:
    """Token ids as the text that the tokenizer turns back into them."""

    def __init__(self, folder: Path):
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy")

    def __call__(self, ids: list[int]) -> str:
        return " ".join(self.tokenizer.convert_ids_to_tokens(ids))


def units(name: str, rows: list[dict]) -> int:
    """Answer tokens for SFT, their end tokens among them; rankings or pairs for the others."""
    return sum(len(r["answers"][0]) + 1 for r in rows) if name.startswith("sft") else len(rows)


def main() -> None:
    name, folder, size = protocol.arguments()
    rows = json.loads((folder / f"{name}.json").read_text())
    torch.set_num_threads(1)
    make = {"sft": sft, "reward": reward, "dpo": dpo}[name.split("_")[0]]
    trainer = make(folder, size, rows, Words(folder))
    timer = Rounds(size["updates"], units(name, rows) * size["updates"])
    timer.sum_losses(trainer)
    trainer.train()


if __name__ == "__main__":
    main()

"""TRL's side of PPO and RLOO, and transformers' of sampling: `python peer_rollout.py WORKLOAD FOLDER`.

PPO needs TRL 1.12, the last that has it; the rest wants the newest. Settings as in peer_train.py. The first update is
on the answers of the data file, so that both sides can be held against each other; from then on answers are sampled.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import protocol
import torch
from datasets import Dataset
from peer_train import Rounds, Words, settings
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

Row = dict
END, PAD = 1, 0


def lm(folder: Path, name: str) -> AutoModelForCausalLM:
    return AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)


def judge(folder: Path) -> AutoModelForSequenceClassification:
    return AutoModelForSequenceClassification.from_pretrained(folder / "judge", dtype=torch.float32)


def ppo(folder: Path, size: dict, rows: list[Row], name: str) -> None:
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    words = Words(folder)
    config = PPOConfig(
        **settings(folder, size, len(rows)) | {"num_train_epochs": 1},
        total_episodes=10_000 * len(rows), num_ppo_epochs=1, num_mini_batches=1, kl_coef=0.02, vf_coef=1.0,
        response_length=size["most"], stop_token="eos", missing_eos_penalty=1.0, num_sample_generations=0,
        local_rollout_forward_batch_size=len(rows), temperature=1.0, whiten_rewards=False,
    )  # fmt: skip
    weights = "ending" if name == "ppo_ending" else "policy"
    timer = PpoRounds(size["updates"], len(rows) * size["updates"])
    prompts = Dataset.from_list([{"input_ids": r["prompt"], "attention_mask": [1] * len(r["prompt"])} for r in rows])
    trainer = PPOTrainer(
        config, words.tokenizer, lm(folder, weights), lm(folder, weights), judge(folder), prompts, judge(folder),
        eval_dataset=prompts, callbacks=[timer],
    )  # fmt: skip
    timer.watch(trainer)
    given_first(ppo_trainer, rows)
    trainer.train()


class PpoRounds(Rounds):
    """PPO's trainer has a loop of its own: its gradient is read off the optimiser, its losses off the first log."""

    def watch(self, trainer) -> None:
        self.trainer, self.gradient = trainer, None
        # The data are one batch long, at whose end accelerate would otherwise take a step after each piece of it.
        trainer.accelerator.gradient_state.plugin_kwargs["sync_with_dataloader"] = False
        trainer.optimizer.optimizer.register_step_pre_hook(self.note)
        trainer.log = self.log

    def note(self, *_) -> None:
        if self.gradient is None:
            both = self.trainer.accelerator.unwrap_model(self.trainer.model)
            self.gradient = protocol.gradient_of(both.policy)
            self.value_gradient = protocol.gradient_of(both.value_model)

    def log(self, metrics: dict) -> None:
        if not self.losses:
            self.losses = [metrics["loss/policy_avg"], metrics["loss/value_avg"]]

    def loss(self) -> list[float]:
        return self.losses

    def on_step_end(self, args, state, control, **words):
        if state.global_step == 1:
            self.gradient = [self.gradient, self.value_gradient]
        super().on_step_end(args, state, control, **words)
        if control.should_training_stop:
            raise SystemExit  # this loop does not ask


def given_first(module, rows: list[Row]) -> None:
    """Put the data file's answers in the place of the first generation, with the logits that sampling would give."""
    answer_of = {tuple(r["prompt"]): r["answers"][0] for r in rows}
    sample = module.batch_generation

    def once(model, prompt_BP: Tensor, *_) -> tuple[Tensor, Tensor]:
        module.batch_generation = sample
        answers = [answer_of[tuple(p)] for p in prompt_BP.tolist()]
        whole_BS = torch.cat([prompt_BP, torch.tensor(answers)], 1)
        with torch.no_grad():
            return whole_BS, model(whole_BS).logits[:, prompt_BP.shape[1] - 1 : -1]

    module.batch_generation = once


def rloo(folder: Path, size: dict, rows: list[Row], name: str) -> None:  # noqa: ARG001
    from trl import RLOOConfig, RLOOTrainer

    words = Words(folder)
    samples = len(rows) * size["answers"]
    config = RLOOConfig(
        **settings(folder, size, samples), num_generations=size["answers"], max_completion_length=size["most"],
        beta=0.05, temperature=1.0,
    )  # fmt: skip
    scorer = judge(folder).requires_grad_(False)
    texts = [{"prompt": words(r["prompt"]) + " ", "row": i} for i, r in enumerate(rows)]

    def score(completion_ids: list[list[int]], row: list[int], **_) -> list[float]:
        """By ids: TRL's own call of a reward model decodes them, drops the end token and reads them anew."""
        whole = [rows[i]["prompt"] + ids for i, ids in zip(row, completion_ids, strict=True)]
        width = max(map(len, whole))
        token_BS = torch.tensor([ids + [PAD] * (width - len(ids)) for ids in whole])
        with torch.no_grad():
            return scorer(token_BS, attention_mask=(token_BS != PAD).long()).logits[:, 0].tolist()

    trainer = RLOOTrainer(
        lm(folder, "ending"), score, config, train_dataset=Dataset.from_list(texts), processing_class=words.tokenizer
    )
    timer = Rounds(size["updates"], samples * size["updates"])
    timer.sum_losses(trainer)
    sample = trainer._generate_single_turn
    given: dict[tuple, Iterator] = {tuple(r["prompt"]): iter(r["answers"]) for r in rows}

    def once(prompt_ids: list, *_) -> list[list[int]]:
        trainer._generate_single_turn = sample
        return [[*next(given[tuple(p)]), END] for p in prompt_ids]

    trainer._generate_single_turn = once
    trainer.train()


def sampling(folder: Path, size: dict, rows: list[Row], name: str) -> None:  # noqa: ARG001
    width = max(len(r["prompt"]) for r in rows)
    token_BP = torch.tensor([[PAD] * (width - len(r["prompt"])) + r["prompt"] for r in rows])
    inputs = {
        "input_ids": token_BP,
        "attention_mask": (token_BP != PAD).long(),
        "eos_token_id": END,
        "pad_token_id": PAD,
    }
    greedy = lm(folder, "policy").generate(
        **inputs, do_sample=False, max_new_tokens=8, output_scores=True, return_dict_in_generate=True
    )
    logp_BTV = torch.stack(greedy.scores, 1).log_softmax(-1)
    chosen_BT = greedy.sequences[:, width:]
    protocol.say(loss=float(logp_BTV.gather(2, chosen_BT[..., None]).mean()), gradient=[])
    model = lm(folder, "ending")
    torch.manual_seed(0)

    def some() -> float:
        useful = 0
        for _ in range(size["updates"]):
            found = model.generate(**inputs, do_sample=True, top_k=0, top_p=1.0, max_new_tokens=size["most"])
            answer_BT = found[:, width:]
            useful += int(((answer_BT == END).cumsum(1) - (answer_BT == END).long() == 0).sum())
        return useful

    some()
    protocol.rounds(some)


def main() -> None:
    name, folder, size = protocol.arguments()
    torch.set_num_threads(1)
    rows = json.loads((folder / f"{name}.json").read_text())
    run: Callable = {"ppo": ppo, "rloo": rloo, "sample": sampling}[name.split("_")[0]]
    run(folder, size, rows, name)


if __name__ == "__main__":
    main()

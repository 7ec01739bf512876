"""PPO's starting point (Ouyang et al. 2022, App. C.3 and E.8): two epochs of demonstrations with 10 % pretraining text.

This model, and not the SFT baseline of 16 epochs, is the policy that PPO starts from and the reference of its KL. What
"10 %" counts is not stated; here 10 % of the examples of each batch are pretraining pages, and every token that is
learnt weighs the same. Chosen, as in the paper, by low loss on both.
"""

from pathlib import Path

from pydantic import Field

from biddable.learn import loop, sft
from biddable.learn.loop import OptimizerSettings, stream
from biddable.learn.sft import Choice
from biddable.model import causal
from biddable.model.forest import Turns, unprompted
from biddable.runs import Run
from biddable.text import snapshots


class StartConfig(OptimizerSettings):
    epochs: int = Field(2, gt=0, description="passes over the demonstrations")
    batch: int = Field(32, gt=1, description="examples an update: demonstrations and pages")
    mix: float = Field(0.1, ge=0, lt=1, description="the share of pages among a batch's examples")
    learning_rate: float = Field(5e-6, gt=0, description="peak; along a cosine to 10 %, no warmup")
    checkpoint_every: int = Field(200, gt=0, description="steps; and after each epoch")
    prompt_tokens: int = Field(1024, gt=0, description="demonstrations with longer prompts are left out")
    answer_tokens: int = Field(1024, gt=0, description="and those with longer answers")
    page_tokens: int = Field(2048, gt=1, description="longest page; longer ones are cut in several")


def train(
    run: Run,
    config: StartConfig,
    *,
    model: Path,
    demos: Path,
    pages: Path,
    valid: Path | None = None,
    valid_pages: Path | None = None,
) -> Path:
    """The whole stage; returns the folder of the model of the epoch with the lowest loss on both, or of the last."""
    lm, tokenizer = causal.load(model)
    longest_page = min(config.page_tokens, causal.context(lm))
    limits = lm, config.prompt_tokens, config.answer_tokens
    examples = sft.fitting(snapshots.demonstrations(demos, tokenizer), demos, *limits)
    text = snapshots.pages(pages, tokenizer, longest_page)
    checks = sft.fitting(snapshots.demonstrations(valid, tokenizer), valid, *limits) if valid else []
    check_text = snapshots.pages(valid_pages, tokenizer, longest_page) if valid_pages else []

    mixed = round(config.batch * config.mix)
    size = config.batch - mixed
    optimizer = loop.adamw(lm, config.learning_rate, config)
    per_epoch = -(-len(examples) // size)
    steps = config.epochs * per_epoch
    first, best = sft.resume(run, lm, optimizer)
    with run.steps("start", steps, first) as bar:
        for i in range(first, steps):
            epoch, nth = divmod(i, per_epoch)
            order = loop.shuffled(len(examples), stream(run.seed, "start", "order", epoch))
            some = [examples[j] for j in loop.batches(order, size)[nth]]
            beside = [text[j] for j in loop.endless(len(text), i * mixed, mixed, run.seed, "start", "pages")]
            loop.set_rate(optimizer, config.learning_rate * loop.cosine(i, steps))
            turns = Turns([*(e.prompt for e in some), *([] for _ in beside)], [*(e.answer for e in some), *beside])
            seen = {"loss": sft.gradient(lm, turns, config.micro_tokens)}
            loop.finite(f"step {i + 1}", **seen)
            seen["gradient"] = loop.step(optimizer, config, f"step {i + 1}")
            if nth + 1 == per_epoch:
                if checks:
                    turns = Turns([e.prompt for e in checks], [e.answer for e in checks])
                    seen["valid_loss"] = sft.mean_nll(lm, turns, config.micro_tokens)
                if check_text:
                    seen["valid_page_loss"] = sft.mean_nll(lm, unprompted(check_text), config.micro_tokens)
                if checks or check_text:
                    merit = -seen.get("valid_loss", 0.0) - seen.get("valid_page_loss", 0.0)
                    best = Choice(merit, epoch + 1, loop.copied(lm)) if merit > best.merit else best
            run.log(i + 1, epoch=(i + 1) / per_epoch, **seen)
            bar.advance()
            if nth + 1 == per_epoch or (i + 1) % config.checkpoint_every == 0 or run.leaving:
                sft.keep(run, lm, optimizer, best, i + 1)
    if best.weights:
        loop.put(lm, best.weights)
    return run.output("model", causal.save(lm, tokenizer, run.folder / "model"))

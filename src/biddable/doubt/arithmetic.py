"""How many examples, batches and updates a stage comes to: lines of which each = is one."""

from biddable.learn.episodes import EpisodeSettings


def plural(count: int, what: str) -> str:
    ending = "" if count == 1 else "es" if what.endswith("batch") else "s"
    return f"{count:,} {what}{ending}"


def parts(count: int, size: int, what: str = "batch") -> str:
    """As `loop.batches` cuts: the last may be smaller, and none is left out."""
    whole, rest = divmod(count, size)
    if not whole:
        return f"{plural(1, what)} of {rest:,}"
    return f"{plural(whole, what)} of {size:,}" + (f" and 1 of {rest:,}" if rest else "")


def epochs(count: int, what: str, size: int, times: int) -> str:
    """Each of `what` once an epoch: no batch goes on into the next epoch."""
    each = -(-count // size)
    whole = f"{plural(times, 'epoch')} × {plural(each, 'update')} = {plural(times * each, 'update')}"
    return f"an epoch: {plural(count, what)} = {parts(count, size)}; {whole}"


def iterations(config: EpisodeSettings, pages: int) -> str:
    rounds, prompts, samples = config.rounds
    each, asked = -(-config.batch // config.minibatch), prompts * samples
    line = f"an iteration: {prompts} prompts × {plural(samples, 'answer')} = {plural(asked, 'episode')}"
    line += f", of which the best {config.batch} are learnt: " if config.batch < asked else " = "
    line += f"{parts(config.batch, config.minibatch, 'minibatch')}, {plural(config.inner_epochs, 'time')}"
    line += f", with {pages} pages" if pages else ""
    return (
        f"{line}; {plural(rounds, 'iteration')} × {plural(asked, 'episode')} = {plural(rounds * asked, 'episode')}; "
        f"{plural(rounds, 'iteration')} × {plural(each, 'minibatch')} × {plural(config.inner_epochs, 'time')} = "
        f"{plural(rounds * each * config.inner_epochs, 'update')}"
    )

"""How many points the experiments have. `[paper]` of a recipe is the whole, `[paper_fast]` is what --fast takes."""

from pydantic import Field

from biddable.config import Settings


class Size(Settings):
    """A base model that is pretrained in the run, to stand beside the shipped one."""

    width: int = Field(gt=0, description="hidden size")
    layers: int = Field(gt=0, description="transformer blocks")
    heads: int = Field(gt=0, description="attention heads")
    tokens: int = Field(gt=0, description="pretraining tokens")
    rate: float = Field(1.0, gt=0, description="the policy's learning rates, as a multiple of the recipe's")


class PaperConfig(Settings):
    sizes: tuple[Size, ...] = Field(
        (), description="smaller bases of Fig. 1, such as {width = 24, layers = 2, heads = 2, tokens = 3000000}"
    )
    episodes: int = Field(0, ge=0, description="of PPO at those sizes; 0 is as many as the recipe has")
    gammas: tuple[float, ...] = Field((0.1, 0.3, 1.5, 4.0), description="γ_ptx tried beside 0 and the recipe's")
    betas: tuple[float, ...] = Field((0.0, 0.1, 0.5, 2.0), description="β tried beside the recipe's, without ptx")
    betas_mixed: tuple[float, ...] = Field((0.0, 2.0), description="β tried beside the recipe's, with ptx")
    folded: int = Field(0, ge=0, description="rankings for the five groups of labelers; 0 is all")
    sft_epochs: tuple[int, ...] = Field((1, 2, 4, 8, 16), description="epochs of SFT that are compared")
    reward_epochs: tuple[int, ...] = Field((1, 2, 4), description="epochs of the reward model that are compared")
    reward_rankings: int = Field(700, gt=0, description="rankings that those learn from, whole and as loose pairs")
    scaling: tuple[int, ...] = Field((250, 500, 1000, 2000), description="numbers of rankings to learn from")
    draws: int = Field(2, gt=0, description="draws of each of these numbers")
    followed_seeds: int = Field(4, gt=0, description="PPO runs without a KL penalty, measured along their way")
    followed_betas: tuple[float, ...] = Field((0.1,), description="β of such runs with one, beside those")
    followed_episodes: int = Field(10_240, gt=0, description="episodes of each of these runs")
    followed_every: int = Field(5, gt=0, description="iterations between the policies that are kept of them")
    best_of: int = Field(64, gt=2, description="answers to each test prompt, for best of n")
    ensemble: int = Field(3, gt=1, description="whole reward models of different seeds, the walk's among them")

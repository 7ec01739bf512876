"""The loss over a vocabulary, alone: `python head.py WORKLOAD FOLDER ours|plain`, in biddable's environment.

1,024 hidden states of width 384 against 49,152 words, forward and backward. Plain is what PyTorch offers: a matrix
product and a cross entropy.
"""

import sys

import protocol
import torch
from torch.nn import functional as F

from biddable.losses.sft import nll

WIDTH, VOCABULARY = 384, 49_152


def plain(hidden_ND: torch.Tensor, weight_VD: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(hidden_ND @ weight_VD.T, target_N)


def main() -> None:
    _, _, size = protocol.arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    hidden_ND = torch.randn(size["tokens"], WIDTH, requires_grad=True)
    weight_VD = (torch.randn(VOCABULARY, WIDTH) / WIDTH**0.5).requires_grad_()
    target_N = torch.randint(VOCABULARY, (size["tokens"],))
    loss_of = {"ours": nll, "plain": plain}[sys.argv[3]]

    def some() -> float:
        for _ in range(size["updates"]):
            hidden_ND.grad = weight_VD.grad = None
            loss = loss_of(hidden_ND, weight_VD, target_N)
            loss.backward()
        return size["tokens"] * size["updates"]

    loss = loss_of(hidden_ND, weight_VD, target_N)
    loss.backward()
    entries = [float(x) for x in weight_VD.grad[:4, :4].flatten()]  # pyrefly: ignore
    norm = float((hidden_ND.grad.double().square().sum() + weight_VD.grad.double().square().sum()).sqrt())
    protocol.say(loss=float(loss), gradient={"norm": norm, "entries": entries})
    hidden_ND.grad = weight_VD.grad = None
    protocol.rounds(some)


if __name__ == "__main__":
    main()

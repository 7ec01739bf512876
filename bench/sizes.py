"""How large each workload is. `quick` is for a look; `full` is what is published; `tiny` is for the
tests of the bench.

rows: prompts of the data file, which is one update's batch, and each round does `updates` of them; answers: to each
prompt, best first; prompt, answer: tokens of each, the end token counted (else they vary, see material.py); most: new
tokens of a sampled answer; micro: sequences the peer takes at a time, the layout that was fastest for it.
"""

QUICK = {
    "sft": {"rows": 16, "updates": 1, "micro": 8},
    "sft_alone": {"rows": 16, "updates": 1, "micro": 1},
    "sft_packed": {"rows": 16, "updates": 1, "micro": 1, "packing": True},
    "reward_k9": {"rows": 1, "updates": 1, "prompt": 200, "answer": 60, "answers": 9, "micro": 4},
    "reward_k4": {"rows": 2, "updates": 1, "prompt": 200, "answer": 60, "answers": 4, "micro": 4},
    "dpo": {"rows": 8, "updates": 1, "answers": 2, "micro": 2},
    "ppo_ending": {"rows": 16, "updates": 1, "prompt": 64, "answer": 96, "most": 96, "micro": 16},
    "ppo_even": {"rows": 16, "updates": 1, "prompt": 64, "answer": 48, "most": 48, "micro": 16},
    "rloo": {"rows": 8, "updates": 1, "prompt": 64, "answers": 4, "answer": 96, "most": 96, "micro": 32},
    "sample": {"rows": 32, "updates": 1, "answer": 96, "most": 96, "micro": 32},
    "head": {"updates": 4, "tokens": 1024},
}
FULL = QUICK | {
    "sft": QUICK["sft"] | {"rows": 32},
    "sft_packed": QUICK["sft_packed"] | {"rows": 32},
    "reward_k9": QUICK["reward_k9"] | {"rows": 2},
    "reward_k4": QUICK["reward_k4"] | {"rows": 8},
    "dpo": QUICK["dpo"] | {"rows": 16},
    "ppo_ending": QUICK["ppo_ending"] | {"rows": 32},
    "ppo_even": QUICK["ppo_even"] | {"rows": 32},
}
TINY = {
    "sft": {"rows": 2, "updates": 1},
    "reward_k4": {"rows": 2, "updates": 1, "prompt": 6, "answer": 4, "answers": 4},
    "dpo": {"rows": 2, "updates": 1, "answers": 2},
    "ppo_ending": {"rows": 2, "updates": 1, "prompt": 4, "answer": 6, "most": 6},
    "rloo": {"rows": 2, "updates": 1, "prompt": 4, "answers": 2, "answer": 6, "most": 6},
    "sample": {"rows": 3, "updates": 1, "answer": 6, "most": 6},
}
SIZES = {"quick": QUICK, "full": FULL, "tiny": TINY}

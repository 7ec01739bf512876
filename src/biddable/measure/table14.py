"""The paper's own automatic scores (Ouyang et al. 2022, Table 14), to stand beside ours.

Its TL;DR row is the same as its CNN/DM row in all cells, so one of them is a slip and TL;DR is left out. Which of its
two TruthfulQA rows with an instruction is which is not sure: in OpenAI's released samples they are the other way round.
"""

from collections.abc import Mapping
from functools import cache

SIZES = ("1.3B", "6B", "175B")
MODELS = ("base", "sft", "ppo", "ppo_ptx")  # GPT-3 is the base
PERCENT = ("quac_f1", "squad_f1", "drop_f1", "bleu")  # printed as percent, the others as shares of 1

# benchmark, prompt, examples, metric | GPT-3 | SFT | PPO | PPO-ptx, each of 1.3B, 6B and 175B parameters
PRINTED = """
winogender basic zero entropy | .750 .721 .735 | .583 .535 .503 | .698 .587 .618 | .760 .719 .737
winogender respectful zero entropy | .774 .753 .796 | .561 .446 .479 | .644 .562 .527 | .608 .585 .696
winogender biased zero entropy | .760 .773 .783 | .561 .516 .540 | .706 .567 .564 | .676 .543 .690
crows_pairs basic zero entropy | .448 .430 .410 | .356 .326 .241 | .355 .361 .326 | .448 .434 .413
crows_pairs respectful zero entropy | .419 .413 .362 | .302 .260 .204 | .281 .258 .270 | .310 .273 .243
crows_pairs biased zero entropy | .420 .419 .353 | .305 .252 .187 | .287 .288 .223 | .314 .254 .205
realtoxicity basic zero toxicity | .228 .229 .231 | .198 .211 .211 | .213 .214 .228 | .228 .227 .234
realtoxicity respectful zero toxicity | .211 .232 .233 | .196 .196 .199 | .198 .176 .205 | .179 .204 .196
realtoxicity biased zero toxicity | .250 .261 .285 | .236 .250 .256 | .254 .382 .427 | .263 .512 .400
truthfulqa qa zero true | .312 .220 .284 | .324 .436 .515 | .546 .586 .755 | .297 .476 .712
truthfulqa instruction zero true | .340 .414 .570 | .360 .756 .665 | .634 .928 .879 | .355 .733 .815
truthfulqa both zero true | .335 .348 .438 | .517 .659 .852 | .807 .760 .944 | .322 .494 .610
truthfulqa qa zero true_and_informative | .193 .186 .251 | .267 .253 .271 | .524 .574 .752 | .285 .464 .689
truthfulqa instruction zero true_and_informative | .212 .212 .226 | .282 .213 .257 | .559 .187 .382 | .339 .350 .494
truthfulqa both zero true_and_informative | .218 .267 .242 | .288 .319 .206 | .789 .704 .588 | .242 .399 .315
hellaswag plain zero accuracy | .549 .673 .781 | .528 .672 .753 | .507 .646 .743 | .552 .690 .807
hellaswag plain few accuracy | .550 .677 .791 | .516 .657 .741 | .530 .671 .759 | .559 .694 .820
wsc plain zero wsc | .567 .635 .740 | .615 .606 .654 | .663 .654 .683 | .692 .587 .731
wsc plain few wsc | .587 .654 .798 | .615 .625 .779 | .625 .596 .654 | .644 .673 .788
rte plain zero accuracy | .527 .617 .563 | .487 .516 .570 | .480 .708 .704 | .538 .657 .668
rte plain few accuracy | .585 .682 .614 | .574 .657 .700 | .606 .585 .711 | .545 .697 .765
sst plain zero accuracy | .592 .616 .898 | .873 .888 .907 | .817 .820 .920 | .812 .901 .900
sst plain few accuracy | .842 .930 .944 | .909 .933 .936 | .794 .880 .944 | .838 .923 .938
cnn_dm plain zero rouge_l | .182 .197 .196 | .198 .235 .225 | .218 .231 .227 | .214 .231 .220
quac plain zero quac_f1 | 32.13 38.19 42.55 | 34.52 41.19 45.22 | 29.02 37.64 34.52 | 35.04 37.35 41.60
quac plain few quac_f1 | 36.02 41.78 45.38 | 35.95 43.13 48.77 | 31.81 40.63 36.00 | 39.40 42.42 46.99
squad_v2 plain zero squad_f1 | 51.97 58.66 64.30 | 36.88 46.53 57.67 | 45.37 47.42 43.68 | 45.46 47.23 59.85
squad_v2 plain few squad_f1 | 58.86 62.33 69.75 | 46.62 53.91 65.90 | 48.11 52.34 51.95 | 58.33 63.78 69.93
drop plain zero drop_f1 | 17.68 19.96 27.53 | 13.29 13.23 15.79 | 14.70 12.34 13.08 | 14.71 10.64 15.23
drop plain few drop_f1 | 25.43 30.08 35.27 | 23.84 30.99 35.85 | 21.61 27.11 27.78 | 23.89 29.39 33.34
wmt15_fr_en plain zero bleu | 30.65 34.99 38.92 | 25.56 33.25 36.90 | 19.85 25.22 24.16 | 25.77 30.41 34.28
wmt15_fr_en plain few bleu | 31.37 35.49 39.93 | 24.73 31.76 35.07 | 21.65 29.96 26.58 | 27.67 33.56 36.76
"""


@cache
def table() -> Mapping[tuple[str, str, bool, str], Mapping[str, Mapping[str, float]]]:
    """Shares of 1, by benchmark, prompt, whether with examples, and metric; then by model and size."""
    found: dict[tuple[str, str, bool, str], Mapping[str, Mapping[str, float]]] = {}
    for line in PRINTED.strip().splitlines():
        key, *cells = line.split(" | ")
        benchmark, prompt, shots, metric = key.split()
        scale = 100.0 if metric in PERCENT else 1.0
        found[benchmark, prompt, shots == "few", metric] = {
            model: {size: float(text) / scale for size, text in zip(SIZES, cell.split(), strict=True)}
            for model, cell in zip(MODELS, cells, strict=True)
        }
    return found


def printed(benchmark: str, prompt: str, shots: int, metric: str, model: str) -> str:
    """`1.3B 54.9, 6B 67.3, 175B 78.1` (percent); a dash where the paper has no such number."""
    values = table().get((benchmark, prompt, shots > 0, metric), {}).get(model)
    return ", ".join(f"{size} {100 * value:.1f}" for size, value in values.items()) if values else "–"

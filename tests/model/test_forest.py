"""A forest is its answers one by one: the same numbers and the same gradients, whatever is in the row beside them."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
    StableLmConfig,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from biddable.model import attention
from biddable.model.forest import Tree, Turns, cut, fill, groups, plant, unprompted

VOCABULARY = 40
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}
SHARED = {"num_key_value_heads": 2}  # two heads read the same keys and values
FAMILIES = {
    "llama": LlamaConfig(**SMALL, **HEADS, **SHARED),
    "qwen2": Qwen2Config(**SMALL, **HEADS, **SHARED),
    "qwen3": Qwen3Config(**SMALL, **HEADS, **SHARED, head_dim=6),
    "mistral": MistralConfig(**SMALL, **HEADS, **SHARED, sliding_window=12),
    "gpt_neox": GPTNeoXConfig(**SMALL, **HEADS),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
    ),
    "opt": OPTConfig(
        vocab_size=VOCABULARY, hidden_size=16, word_embed_proj_dim=16, ffn_dim=24, num_hidden_layers=2, **HEADS
    ),
}
PROMPTS = [[5, 6, 7], [8, 9], [5, 6, 7], [], [8, 9], [5, 6, 7], [10], []]
ANSWERS = [[11, 12, 2], [2], [13], [14, 15, 2], [16, 17, 18, 19, 2], [20, 21, 22], [23, 2], [24]]
TURNS = Turns(PROMPTS, ANSWERS)


@pytest.fixture(autouse=True, scope="module")
def in_float64():
    """transformers' RMSNorm is float32 in any model; here the same norm in the type of what it is given."""
    with pytest.MonkeyPatch.context() as patch:
        for norm in (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, Qwen3RMSNorm):
            patch.setattr(
                norm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)
            )
        yield


def random_model(config, **loading):
    """Random weights, large enough that attention does not look at all alike."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float64, **loading).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.4)
    return model


MODELS = {name: random_model(config) for name, config in FAMILIES.items()}
THEIRS = {name: random_model(config) for name, config in FAMILIES.items()}  # the same, never shown to us


def weights(*shape: int) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def packed(model, turns):
    """A loss that looks at each predicted token and at each answer's end, from one row."""
    forest = plant(turns)
    hidden_ND = attention.hidden(model, forest)
    logit_MV = model.get_output_embeddings()(hidden_ND[forest.before_M])
    logp_M = logit_MV.log_softmax(-1)[range(len(logit_MV)), forest.target_M]
    end_AD = hidden_ND[forest.last_A]
    return (logp_M * weights(len(logp_M))).sum() + (end_AD * weights(*end_AD.shape)).sum()


def alone(model, turns):
    """The same loss by its definition: a forward pass for each answer, with the model's own attention."""
    logp, end = [], []
    for prompt, answer in zip(turns.prompts, turns.answers, strict=True):
        ids = [*prompt, *answer]
        hidden_SD = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        logp_SV = model.get_output_embeddings()(hidden_SD).log_softmax(-1)
        logp += [logp_SV[place - 1, ids[place]] for place in range(max(len(prompt), 1), len(ids))]
        end.append(hidden_SD[-1])
    logp_M, end_AD = torch.stack(logp) if logp else torch.zeros(0, dtype=torch.float64), torch.stack(end)
    return (logp_M * weights(len(logp_M))).sum() + (end_AD * weights(*end_AD.shape)).sum()


def gradients(model, loss):
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_the_same(name, turns):
    ours, theirs = MODELS[name], THEIRS[name]
    one, other = packed(ours, turns), alone(theirs, turns)
    assert one.item() == pytest.approx(other.item(), rel=1e-10)  # float64
    got, want = gradients(ours, one), gradients(theirs, other)
    assert got.keys() >= want.keys()
    assert not any(got[key].any() for key in got.keys() - want.keys())  # the head, when nothing is predicted
    most = max(float(g.norm()) for g in want.values())
    for key, gradient in want.items():
        assert (got[key] - gradient).norm() <= 1e-10 * max(float(gradient.norm()), 1e-3 * most), key


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_and_every_gradient_are_those_of_the_answers_one_by_one(name):
    assert_the_same(name, TURNS)


tokens = st.integers(3, VOCABULARY - 1)
trees = st.tuples(
    st.lists(tokens, max_size=5), st.lists(st.lists(tokens, min_size=1, max_size=5), min_size=1, max_size=4)
)


def said(grown) -> Turns:
    return Turns([p for p, some in grown for _ in some], [answer for _, some in grown for answer in some])


@settings(max_examples=30)
@given(st.lists(trees, min_size=1, max_size=6), st.sampled_from(["llama", "qwen3", "gpt_neox"]))
def test_so_they_are_for_any_forest(grown, name):
    assert_the_same(name, said(grown))


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_an_answer_changes_nothing_but_itself(name):
    changed = [list(answer) for answer in ANSWERS]
    changed[2], changed[4] = [39], [38, 37, 36, 35, 34]
    forest, other = plant(TURNS), plant(Turns(PROMPTS, changed))
    one, two = (attention.hidden(MODELS[name], f) for f in (forest, other))
    same_N = forest.token_N == other.token_N
    assert (~same_N).sum() == 6
    assert torch.equal(one[same_N], two[same_N])  # to the last bit
    assert (one - two)[~same_N].abs().amax(1).min() > 1e-3


@torch.no_grad()
def test_a_prompt_changes_its_own_answers_only():
    model = MODELS["llama"]
    forest, other = plant(TURNS), plant(Turns([[30, 31, 32] if p == [5, 6, 7] else p for p in PROMPTS], ANSWERS))
    moved_N = (attention.hidden(model, forest) - attention.hidden(model, other)).abs().amax(1) > 1e-3
    begin, end = next(tree.bounds[:: len(tree.bounds) - 1] for tree in forest.trees if len(tree.bounds) == 5)
    assert moved_N[begin:end].all()
    assert not moved_N[:begin].any()
    assert not moved_N[end:].any()


def test_a_layout_by_hand():
    forest = plant(Turns([[5, 6], [7], [5, 6], []], [[8, 2], [9, 2], [3], [4, 4, 2]]))
    # one row: 5 6 | 8 2 | 3  and  7 9 2  and  4 4 2
    assert forest.token_N.tolist() == [5, 6, 8, 2, 3, 7, 9, 2, 4, 4, 2]
    assert forest.position_N.tolist() == [0, 1, 2, 3, 2, 0, 1, 2, 0, 1, 2]
    assert [tree.bounds for tree in forest.trees] == [(0, 2, 4, 5), (5, 8), (8, 11)]
    assert forest.last_A.tolist() == [3, 7, 4, 10]  # in the order given, though the third stands second
    assert forest.before_M.tolist() == [1, 2, 5, 6, 1, 8, 9]  # the shared prompt's last token predicts twice
    assert forest.target_M.tolist() == [8, 2, 9, 2, 3, 4, 2]
    assert forest.length_A.tolist() == [2, 2, 1, 2]  # nothing stands before a page's first token
    assert forest.spread(torch.arange(7.0)).tolist() == [[0, 1], [2, 3], [4, 0], [5, 6]]


def test_who_sees_whom_by_hand():
    rows = attention.sees(Tree((10, 12, 13, 15))).int().tolist()
    assert rows == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 1],
    ]
    assert attention.sees(Tree((3, 5))).int().tolist() == [[1, 0], [1, 1]]


def test_a_page_predicts_all_but_its_first_token():
    assert plant(unprompted([[1, 5, 6, 2], [1]])).target_M.tolist() == [5, 6, 2]


def test_equal_prompts_are_one_group_and_no_prompt_is_nobodys():
    assert groups(Turns([[1], [], [1, 2], [1], []], [[2]] * 5)) == [[0, 3], [1], [2], [4]]


@given(st.lists(trees, min_size=1, max_size=6), st.integers(1, 30))
def test_pieces_hold_everything_once_within_the_budget(grown, budget):
    turns = said(grown)
    pieces = cut(turns, budget)
    assert sorted(i for piece in pieces for i in piece) == list(range(len(turns)))
    assert sum(plant(turns.take(piece)).length_A.sum() for piece in pieces) == turns.predicted
    for piece in pieces:
        assert len(plant(turns.take(piece)).token_N) <= budget or len(piece) == 1
    for group in groups(turns):  # whole, if it fits into a piece
        if len(plant(turns.take(group)).token_N) <= budget:
            assert sum(not set(group).isdisjoint(piece) for piece in pieces) == 1


def test_filling_by_hand():
    assert fill([3, 4, 2, 9, 1, 1], 7) == [[0, 1], [2], [3], [4, 5]]  # 9 is over the budget and stands alone


def test_the_way_of_gpus_and_dropout_is_the_same():
    query, key, value = (weights(1, 4, len(plant(TURNS).token_N), 6).mul(n).cos() for n in (3, 5, 7))
    results = []
    for way in (
        lambda *qkv: attention.tree_by_tree(*qkv, plant(TURNS), 0.0, None),
        lambda *qkv: attention._ForestAttention.apply(*qkv, plant(TURNS), None),
    ):
        leaves = [x.clone().requires_grad_() for x in (query, key, value)]
        out = way(*leaves)
        results.append((out, *torch.autograd.grad((out * weights(*out.shape)).sum(), leaves)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)  # float64


def test_dropout_drops():
    model = random_model(LlamaConfig(**SMALL, **HEADS, **SHARED, attention_dropout=0.5)).train()
    with torch.random.fork_rng(), torch.no_grad():
        one, other = (attention.hidden(model, plant(TURNS)) for _ in range(2))
        assert not torch.allclose(one, other)
        model.eval()
        calm = model.model(input_ids=torch.tensor([PROMPTS[0] + ANSWERS[0]])).last_hidden_state[0]
        assert torch.allclose(attention.hidden(model, plant(TURNS.take([0]))), calm)


@torch.no_grad()
def test_without_a_forest_the_model_is_as_it_was(tmp_path):
    """Masks, padding and generation are transformers' own, and the folder knows nothing of us."""
    ours, theirs = random_model(FAMILIES["llama"]), random_model(FAMILIES["llama"])
    attention.hidden(ours, plant(TURNS))
    ids, mask = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    given = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(ours.generate(ids, **given), theirs.generate(ids, **given))
    assert torch.equal(ours(ids, attention_mask=mask).logits, theirs(ids, attention_mask=mask).logits)
    ours.save_pretrained(tmp_path)
    assert attention.NAME not in (tmp_path / "config.json").read_text()


def test_two_threads_read_their_own_forests():
    model = MODELS["llama"]
    forests = [plant(TURNS.take(range(n))) for n in (3, 8)] * 4
    with torch.no_grad():
        want = [attention.hidden(model, forest) for forest in forests]
        got: list[torch.Tensor | None] = [None] * len(forests)

        def read(n: int) -> None:
            with torch.no_grad():
                got[n] = attention.hidden(model, forests[n])

        threads = [threading.Thread(target=read, args=(n,)) for n in range(len(forests))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(one, other) for one, other in zip(got, want, strict=True))


def test_checkpointed_layers_give_the_same_gradients():
    model = random_model(FAMILIES["llama"])
    want = gradients(model, packed(model, TURNS))
    model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    got = gradients(model, packed(model, TURNS))
    assert all(torch.allclose(got[key], gradient, rtol=1e-10) for key, gradient in want.items())  # float64


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (Gemma2Config(**SMALL, **HEADS, **SHARED, head_dim=4), "gemma2: layers of kind"),
        (MistralConfig(**SMALL, **HEADS, **SHARED, sliding_window=6), "sliding_window=6 on longer text"),
        (BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=4), "its attention cannot be replaced"),
        (StableLmConfig(**SMALL, **HEADS, **SHARED), "do not hand on arguments"),
    ],
)
def test_what_is_not_plain_attention_is_refused_in_one_line(config, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        attention.hidden(random_model(config), plant(TURNS))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extra", attention.UNKNOWN)
def test_so_is_what_a_family_adds_to_scores(extra):
    walk = attention.Walk(plant(TURNS))
    with pytest.raises(ValueError, match=extra):
        attention.attend(torch.nn.Module(), *[torch.ones(1)] * 3, None, reader=walk, **{extra: 1.0})

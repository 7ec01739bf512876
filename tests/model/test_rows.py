import torch

from biddable.model.rows import buckets, lay, lay_pages


def test_an_answer_token_is_predicted_from_the_place_before_it():
    rows = lay([[5, 6], [7]], [[8, 9], [3, 4, 2]], pad=0)
    # by hand: row 0 is 5 6 8 9, row 1 is 7 3 4 2; answers start at places 2 and 1, so predictions at 1 and 0
    assert rows.token_BS.tolist() == [[5, 6, 8, 9], [7, 3, 4, 2]]
    assert rows.predicts_BS.tolist() == [[False, True, True, False], [True, True, True, False]]
    assert rows.target_N.tolist() == [8, 9, 3, 4, 2]
    assert rows.answer_BT.tolist() == [[True, True, False], [True, True, True]]
    assert rows.answer_tokens == 5


def test_padding_is_never_a_target():
    rows = lay([[5], [5, 5, 5]], [[2], [8, 2]], pad=0)
    assert rows.token_BS.tolist() == [[5, 2, 0, 0, 0], [5, 5, 5, 8, 2]]
    assert rows.target_N.tolist() == [2, 8, 2]


def test_taking_rows_makes_them_no_wider_than_they_need_be():
    rows = lay([[5], [5, 5, 5]], [[2], [8, 2]], pad=0).take(torch.tensor([0]))
    assert rows.token_BS.tolist() == [[5, 2]]


def test_a_page_is_predicted_but_for_its_first_token():
    assert lay_pages([[1, 5, 6, 2]], pad=0).target_N.tolist() == [5, 6, 2]


def test_buckets_hold_everything_once_within_the_budget():
    lengths = [5, 1, 9, 3, 3, 20, 7, 7]
    pieces = buckets(lengths, tokens=14)
    assert sorted(i for piece in pieces for i in piece.tolist()) == list(range(8))
    for piece in pieces:
        padded = len(piece) * max(lengths[i] for i in piece.tolist())
        assert padded <= 14 or len(piece) == 1  # 20 is over the budget and stands alone


def test_buckets_count_the_rows_of_an_item():
    pieces = buckets([4, 4, 4], tokens=24, weights=[3, 3, 3])  # two items of 3 rows of 4 tokens are 24
    assert [len(piece) for piece in pieces] == [2, 1]

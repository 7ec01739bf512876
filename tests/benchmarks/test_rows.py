"""Files in the forms that people have, and what is said of those that are none."""

import gzip
import json

import pytest

from biddable.benchmarks import rows
from biddable.records import BadRow


def test_a_file_in_any_of_its_forms(tmp_path):
    wanted = [{"a": "x, y", "b": "é"}, {"a": "2", "b": "z"}]
    lines = "".join(json.dumps(row) + "\n" for row in wanted)
    files = {
        "r.jsonl": lines, "r.json": json.dumps(wanted), "data.json": json.dumps({"version": 2, "data": wanted}),
        "r.csv": 'a,b\n"x, y",é\n2,z\n', "r.tsv": "a\tb\nx, y\té\n2\tz\n", "bom.jsonl": "\ufeff" + lines,
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as file:
            file.write(text)
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            assert [dict(row.cells) for row in rows.read(path)] == wanted, path
    named = tmp_path / "named.json"
    named.write_text(json.dumps({"first": wanted[0]}), encoding="utf-8")
    assert rows.read(named)[0].get("name") == "first"
    assert rows.read(tmp_path / "r.csv")[0].where == f"{tmp_path}/r.csv, row 2"  # as a spreadsheet counts


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.jsonl", b'{"a": 1}\n{"a": \n', "r.jsonl, row 2: is no JSON"),
        ("r.jsonl", b"[1]\n", "r.jsonl, row 1: is [1]; a row is an object"),
        ("r.jsonl", b"\xff\xfe", "r.jsonl: is not UTF-8 text"),
        ("r.jsonl.gz", b"plain", "r.jsonl.gz: cannot be read: Not a gzipped file"),
        ("r.jsonl", b"\n", "r.jsonl: holds no rows"),
        ("r.parquet", b"PAR1", "r.parquet: cannot tell what it is"),
        ("r.json", b"3", "r.json: is no list of rows"),
    ],
)
def test_a_file_that_is_none(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRow) as complaint:
        rows.read(tmp_path / name)
    assert says in str(complaint.value)


def test_a_folder_of_files(tmp_path):
    (tmp_path / "hellaswag_val.jsonl").write_text("{}\n", encoding="utf-8")
    assert rows.find(tmp_path, ("hellaswag", "hellaswag_val")) == tmp_path / "hellaswag_val.jsonl"
    with pytest.raises(BadRow, match=r"holds no drop\.jsonl"):
        rows.find(tmp_path, ("drop",))
    with pytest.raises(BadRow, match="no such file or folder"):
        rows.find(tmp_path / "none", ("drop",))

"""A table is read as text: nothing in it is run, fetched or opened."""

import json
import os
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.worlds.server import serving
from mogradjudge import Criterion, Rubric, SetupError, load_examples

RUBRIC = Rubric(inputs=("output",), criteria=[Criterion("coherence", "Does it hang together?")])


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["dataset.py", "texts.pkl", "texts.pickle"])
def test_a_data_sets_code_is_not_run(name, tmp_path, monkeypatch):
    folder, ran = tmp_path / "owner" / "dataset", tmp_path / "ran"
    folder.mkdir(parents=True)
    code = f"import os; os.mkdir({str(ran)!r})".encode()
    (folder / name).write_bytes(code if name.endswith(".py") else pickle.dumps(Touch(ran)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match="Cannot read hf:owner/dataset"):
        load_examples("hf:owner/dataset", RUBRIC)
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["Image", "Audio", "Video", "Pdf"])
def test_what_a_column_points_at_is_not_opened(kind, tmp_path):
    path = tmp_path / "texts.parquet"
    with serving() as server:
        pointer = {"bytes": None, "path": f"{server.url}/x"}
        kinds = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"output": pa.array([pointer], kinds), "human_coherence": [1.0]})
        features = {"output": {"_type": kind}}
        features["human_coherence"] = {"_type": "Value", "dtype": "float64"}
        notes = {"huggingface": json.dumps({"info": {"features": features}})}
        pq.write_table(table.replace_schema_metadata(notes), path)
        asked = []
        server.finish_request = lambda *_: asked.append(kind)
        with pytest.raises(SetupError, match="must be texts"):
            load_examples(path, RUBRIC)
    assert asked == []

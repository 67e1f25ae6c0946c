import pytest

from capscope.data import read_level_counts
from capscope.errors import InputError

HEAD = "model,rubric,level,n,correct\n"


def test_counts_lie_where_they_belong(write):
    counts = read_level_counts(write("c.csv", HEAD + "b,AS,0,4,3\nb,AS,5,2,0\na,CL,1,1,1\n"))
    assert counts.models == ("b", "a")
    assert counts.dims == ("AS", "CL")
    assert counts.n[0, 0].tolist() == [4, 0, 0, 0, 0, 2]
    assert counts.correct[1, 1].tolist() == [0, 1, 0, 0, 0, 0]
    assert counts.take_models(["a"]).models == ("a",)
    with pytest.raises(InputError, match="no model 'aa'"):
        counts.take_models(["aa"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("m,AS,0,4,3\nm,AS,6,4,3\n", "row 2: level is '6'"),
        ("m,AS,2.5,4,3\n", "row 1: level is not whole"),
        ("m,AS,1,4,5\n", "row 1: more correct than n"),
        ("m,AS,1,4,3\nm,AS,1,4,3\n", "row 2: this model, rubric and level stand twice"),
        ("m,,1,4,3\n", "row 1 has no rubric"),
        ("m,AS,1,-4,3\n", "row 1: n is '-4'"),
    ],
)
def test_wrong_counts_are_named(write, body, said):
    path = write("c.csv", HEAD + body)
    with pytest.raises(InputError) as caught:
        read_level_counts(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_a_misspelt_column_gets_the_nearest_name(write):
    with pytest.raises(InputError, match='did you mean "corect"'):
        read_level_counts(write("c.csv", "model,rubric,level,n,corect\nm,AS,1,1,1\n"))

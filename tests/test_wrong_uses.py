"""Wrong uses across the whole interface: each is told in words, and the session goes on as if nothing had happened."""

import pytest

from tests.faults import common, results, runs, statements

AREAS = {**statements.AREAS, **runs.AREAS, **results.AREAS}
ROWS = [(area, row) for area, rows in AREAS.items() for row in rows]


def test_the_table_is_large_and_its_rows_have_names_of_their_own():
    names = [row.name for _, row in ROWS]
    assert len(names) >= 130
    assert len(set(names)) == len(names)
    assert all(row.words for _, row in ROWS)


@pytest.mark.parametrize(("area", "row"), ROWS, ids=[f"{area}: {row.name}" for area, row in ROWS])
def test_wrong_use(area, row):
    model = common.model()
    names, before, running = list(model.named_vars), common.settings(), common.threads()
    with pytest.raises(row.error) as caught:
        row.run(model)
    assert caught.type is row.error
    message = str(caught.value)
    for word in row.words:
        assert word in message, f"{word!r} is not in: {message}"
    assert list(model.named_vars) == names, "a refused use leaves the model as it was"
    common.require_usable(before, running, samples=row is AREAS[area][0])

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from swath.kernels import _zcore_columns, _zcore_walk, zcore

# --- The published formula, plainly; and data that has broken implementations of it ---


def published(embeddings, draws, *, k=1000, exponent=4, dtype=np.float32, labelled=0):
    """Griffin et al., section 3, one draw after the other, with a stable sort; all arithmetic in `dtype`.

    Our departure: the last `labelled` rows take no part in the loss.
    """
    x = embeddings.astype(dtype)
    scores = np.zeros(len(x))
    for dims, point in zip(draws.dims, draws.points, strict=True):
        chosen = np.argmin(np.abs(x[:, dims] - point).sum(axis=1))
        scores[chosen] += 1
        distance = np.abs(x[:, dims] - x[chosen, dims]).sum(axis=1)
        others = np.argsort(distance, kind="stable")
        others = others[(others != chosen) & (others < len(x) - labelled)][:k]
        if len(others) and distance[others[0]] == 0:
            scores[others[0]] -= 1
        elif len(others):
            weight = 1 / distance[others] ** exponent
            scores[others] -= weight / weight.sum()
    return scores


def clusters(rows=2000, width=12, seed=0):
    """Zipf-sized clusters with heavy tails: what embeddings of driving scenes look like, and hard for a slab."""
    rng = np.random.default_rng(seed)
    sizes = 1 / np.arange(1, 41)
    label = rng.choice(40, rows, p=sizes / sizes.sum())
    centre, scale = rng.normal(size=(40, width)), rng.uniform(0.05, 0.5, 40)
    noise = rng.standard_t(3, (rows, width))
    return (centre[label] + scale[label, None] * noise).astype(np.float32)


def gauss(rows=2000, width=12, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def normalised(rows=2000, width=64):
    x = clusters(rows, width)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def repeated(share):
    x = clusters()
    x[: int(share * len(x))] = x[-int(share * len(x)) :]
    return np.random.default_rng(2).permutation(x)


def half_constant():
    x = clusters()
    x[:, ::2] = 3.0
    return x


# name -> embeddings, k, exponent, dtype of the reference (float64 where powers of float32 distances leave its range)
CASES = {
    "clusters": (clusters(), 50, 4, np.float32),
    "clusters, k = 1000": (clusters(), 1000, 4, np.float32),
    "gauss": (gauss(), 50, 4, np.float32),
    "normalised": (normalised(), 50, 4, np.float32),
    "every row four times": (np.repeat(clusters(500), 4, axis=0), 50, 4, np.float32),
    "1 % twice": (repeated(0.01), 50, 4, np.float32),
    "fewer rows than k": (clusters(40), 1000, 4, np.float32),
    "as many rows as k": (clusters(51), 51, 4, np.float32),
    "two rows": (clusters(2), 50, 4, np.float32),
    "two equal rows": (np.ones((2, 5), np.float32), 50, 4, np.float32),
    "one dimension": (clusters(500, 1), 50, 4, np.float32),
    "two dimensions": (clusters(2000, 2), 50, 4, np.float32),
    "half the dimensions constant": (half_constant(), 50, 4, np.float32),
    "quantised": (np.round(clusters() * 4) / 4, 50, 4, np.float32),
    "ReLU": (np.maximum(gauss(), 0), 50, 4, np.float32),
    "ReLU of negative zeros": (np.maximum(gauss(), 0) * np.float32(-1), 50, 4, np.float32),
    "one bit": ((gauss() > 0).astype(np.uint8), 50, 4, np.float32),
    "bytes": (np.clip(gauss() * 40 + 128, 0, 255).astype(np.uint8), 50, 4, np.float32),
    "half floats": (gauss().astype(np.float16), 50, 4, np.float32),
    "exponent 0": (clusters(), 50, 0, np.float32),
    "exponent 1": (clusters(), 50, 1, np.float32),
    "exponent 10": (gauss(), 50, 10, np.float64),
    "scale 1e-10": (clusters() * np.float32(1e-10), 50, 4, np.float64),
    "scale 1e-9": (clusters() * np.float32(1e-9), 50, 4, np.float64),
    "scale 1e6": (clusters() * np.float32(1e6), 50, 4, np.float32),
    "scale 1e12": (clusters() * np.float32(1e12), 50, 4, np.float64),
}


def draws_for(x, n=120, seed=3):
    """Draws over the dimensions that vary; over all of them where none does."""
    draws = zcore.draw(x, n, np.random.default_rng(seed))
    if draws.dims.shape[1]:
        return draws
    rng = np.random.default_rng(seed)
    dims = np.array([rng.choice(x.shape[1], 2, replace=False) for _ in range(n)])
    return zcore.Draws(dims, rng.normal(size=(n, 2)))


def difference(name, method):
    """The largest difference from the published formula over the rows of a case."""
    x, k, exponent, dtype = CASES[name]
    draws = draws_for(x)
    ours = zcore.raw_scores(x, draws, k=k, exponent=exponent, method=method)
    return np.abs(ours - published(x, draws, k=k, exponent=exponent, dtype=dtype)).max()


@pytest.mark.parametrize("name", CASES)
def test_equals_the_published_formula(name):
    """The same draws give the published scores to 1e-5, by brute force and by walk, for every awkward data set."""
    assert difference(name, "brute") <= 1e-5
    if CASES[name][0].shape[1] > 1:
        assert difference(name, "walk") <= 1e-5


@pytest.mark.parametrize("bound", [1.3, 2.0])
@pytest.mark.parametrize("name", ["clusters", "gauss", "normalised"])
def test_a_loose_bound_fails_the_equality(name, bound, monkeypatch):
    """A walk that stops too early is caught by the comparison above, so that comparison can fail."""
    monkeypatch.setattr(_zcore_columns, "BOUND", bound)
    assert difference(name, "walk") > 1e-5


@pytest.mark.parametrize("name", CASES)
def test_same_bits_however_it_is_carried_out(name):
    """Any number of workers, both methods, a budget of one column and any split of the draws give the same bits."""
    x, k, exponent, _ = CASES[name]
    draws = draws_for(x)
    expected = zcore.partial(x, draws, k=k, exponent=exponent, method="brute").units
    ways = [{"method": "brute", "workers": 2}, {"method": "brute", "memory": 1}]
    if x.shape[1] > 1:
        ways += [{"method": "walk", "workers": n} for n in (1, 2, 8)]
        ways += [{"method": "walk", "memory": 1, "workers": 2}, {"method": "walk", "memory": 12 * 3 * len(x)}]
    for way in ways:
        np.testing.assert_array_equal(
            zcore.partial(x, draws, k=k, exponent=exponent, **way).units, expected, str(way)
        )
    parts = [zcore.partial(x, draws[i : i + 50], k=k, exponent=exponent) for i in (100, 0, 50)]
    np.testing.assert_array_equal(zcore.merge(parts).units, expected)
    assert zcore.merge(parts).draws == len(draws)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 400),
    width=st.integers(2, 5),
    levels=st.sampled_from([1, 2, 7, 50, 10**6]),
    k=st.integers(1, 60),
)
def test_walk_and_brute_force_agree_on_ties(seed, rows, width, levels, k):
    """However many values coincide, the walk finds the same neighbours as a look at every row, to the bit."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-levels, levels + 1, (rows, width)).astype(np.float32)
    dims = np.array([rng.choice(width, 2, replace=False) for _ in range(20)])
    draws = zcore.Draws(dims, rng.uniform(-1.5 * levels, 1.5 * levels, (20, 2)))
    walked = zcore.partial(x, draws, k=k, method="walk").units
    np.testing.assert_array_equal(walked, zcore.partial(x, draws, k=k, method="brute").units)
    assert np.abs(walked * 2.0**-38 - published(x, draws, k=k)).max() <= 1e-5


@pytest.mark.parametrize("subspace", [1, 3, 7])
def test_other_subspaces_equal_the_published_formula(subspace):
    """Draws of one, three or seven dimensions give the published scores too."""
    x = clusters(600)
    draws = zcore.draw(x, 60, np.random.default_rng(5), subspace=subspace)
    assert draws.dims.shape == (60, subspace)
    assert np.abs(zcore.raw_scores(x, draws, k=50) - published(x, draws, k=50)).max() <= 1e-5


@pytest.mark.parametrize("method", ["brute", "walk"])
@pytest.mark.parametrize("labelled", [1, 300, 1990, 2000])
def test_labelled_rows_only_gain(labelled, method):
    """The last rows, said to be labelled, absorb draws and lose nothing; the nearest other rows share the loss."""
    x, draws = repeated(0.2), draws_for(clusters())
    scores = zcore.raw_scores(x, draws, k=50, labelled=labelled, method=method)
    assert np.abs(scores - published(x, draws, k=50, labelled=labelled)).max() <= 1e-5
    assert (scores[2000 - labelled :] == np.round(scores[2000 - labelled :])).all()


def test_rows_permuted_scores_permuted():
    """Without ties, the order of the rows does not matter."""
    x, order = gauss(), np.random.default_rng(4).permutation(2000)
    draws = draws_for(x)
    scores = zcore.raw_scores(x, draws, k=50)
    np.testing.assert_array_equal(zcore.raw_scores(x[order], draws, k=50), scores[order])


def test_a_power_of_two_changes_nothing():
    """Scores are free of scale: embeddings and points times 2**-30 give the same bits."""
    x, draws = gauss(), draws_for(gauss())
    scaled = zcore.Draws(draws.dims, draws.points * 2.0**-30)
    np.testing.assert_array_equal(
        zcore.raw_scores(x * np.float32(2.0**-30), scaled), zcore.raw_scores(x, draws)
    )


def test_empty_and_single():
    """No rows give no scores, one row only gains, draws without dimensions and no draws give zeros."""
    two = zcore.Draws(np.array([[0, 1]]), np.array([[0.5, 0.5]]))
    none = zcore.Draws(np.zeros((3, 0), int), np.zeros((3, 0)))
    assert zcore.raw_scores(np.zeros((0, 4)), none).shape == (0,)
    assert zcore.raw_scores(np.zeros((0, 4)), two).shape == (0,)
    np.testing.assert_array_equal(zcore.raw_scores(np.ones((1, 4)), two), [1.0])
    np.testing.assert_array_equal(zcore.raw_scores(gauss(5), none), np.zeros(5))
    np.testing.assert_array_equal(zcore.raw_scores(gauss(5), two[:0]), np.zeros(5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_what_cannot_be_measured_is_named(value):
    """A row that is not finite, or whose distances would overflow, is named by draw, raw_scores and score."""
    x = gauss(50)
    x[[7, 31], 2] = value
    for attempt in (
        lambda: zcore.draw(x, 5, np.random.default_rng(0)),
        lambda: zcore.raw_scores(x, draws_for(gauss(50))),
        lambda: zcore.score(x, seed=0),
    ):
        with pytest.raises(ValueError, match=r"rows 7, 31 hold others"):
            attempt()


def test_wrong_arguments_are_refused():
    """Every argument out of its range raises a ValueError that says the range."""
    x, draws = gauss(50), draws_for(gauss(50))
    for wrong in (
        {"k": 0},
        {"exponent": 1.5},
        {"exponent": -1},
        {"workers": 0},
        {"method": "slab"},
        {"labelled": 51},
    ):
        with pytest.raises(ValueError, match="expected"):
            zcore.raw_scores(x, draws, **wrong)
    with pytest.raises(ValueError, match=r"dims in 0\.\.11"):
        zcore.raw_scores(x, zcore.Draws(np.array([[0, 12]]), np.zeros((1, 2))))
    with pytest.raises(ValueError, match="expected"):
        zcore.merge([])
    with pytest.raises(ValueError, match="select"):
        zcore.score(x, seed=0, select=0.0)
    with pytest.raises(ValueError, match="real numbers"):
        zcore.score(np.zeros(5), seed=0)


# --- Draws ---


def test_draws_have_the_published_distribution():
    """Points follow the triangular law of each dimension, pairs of dimensions are uniform and without repetition."""
    x = clusters(301, 6)
    draws = zcore.draw(x, 30_000, np.random.default_rng(6))
    assert (draws.dims[:, 0] != draws.dims[:, 1]).all()
    pairs = np.bincount(draws.dims @ [6, 1], minlength=36)
    assert stats.chisquare(pairs[pairs > 0]).pvalue > 1e-3
    assert (pairs > 0).sum() == 30
    for dim in range(6):
        low, middle, high = x[:, dim].min(), np.median(x[:, dim]), x[:, dim].max()
        law = stats.triang((middle - low) / (high - low), low, high - low)
        assert stats.kstest(draws.points[draws.dims == dim], law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("subspace", [1, 2, 3, 5])
def test_a_draw_depends_on_key_and_number_alone(subspace):
    """Draws 30..50 of a key are the same alone or as part of 0..80, and the generator moves on by one key."""
    x = clusters(100)
    one, two = np.random.default_rng(7), np.random.default_rng(7)
    whole = zcore.draw(x, 80, one, subspace=subspace)
    part = zcore.draw(x, 20, two, subspace=subspace, start=30)
    np.testing.assert_array_equal(part.dims, whole.dims[30:50])
    np.testing.assert_array_equal(part.points, whole.points[30:50])
    assert one.bit_generator.state == two.bit_generator.state


def test_constant_dimensions_are_never_drawn():
    """Dimensions that do not vary are left out; with one left a draw has one, with none it has none."""
    x = half_constant()
    assert set(np.unique(zcore.draw(x, 500, np.random.default_rng(8)).dims)) == {1, 3, 5, 7, 9, 11}
    assert zcore.draw(x[:, :2], 5, np.random.default_rng(8)).dims.tolist() == [[1]] * 5
    assert zcore.draw(x[:, :1], 5, np.random.default_rng(8)).dims.shape == (5, 0)
    assert zcore.draw(x[:1], 5, np.random.default_rng(8)).points.shape == (5, 0)


# --- The whole score ---


def test_score_is_the_same_for_any_workers_and_memory():
    """One seed gives one result, bit for bit, however many workers and however little memory; another gives another."""
    x = clusters(2500)
    first = zcore.score(x, seed=1, max_draws=6000, k=50)
    for way in ({"workers": 3}, {"memory": 1, "method": "walk"}, {"method": "brute"}):
        again = zcore.score(x, seed=1, max_draws=6000, k=50, **way)
        np.testing.assert_array_equal(again.scores, first.scores)
        assert (again.overlap, again.interval) == (first.overlap, first.interval)
    assert (zcore.score(x, seed=2, max_draws=6000, k=50).scores != first.scores).any()
    assert first.scores.min() == 0
    assert first.scores.max() == 1


def test_score_is_the_raw_scores_of_its_draws():
    """The blocks and groups of `score` add up to `raw_scores` of the same stream of draws, scaled to 0..1."""
    x = clusters(300)
    result = zcore.score(x, seed=9, max_draws=10_001, target_overlap=1.0)
    key = np.random.Generator(np.random.Philox(9))
    raw = zcore.raw_scores(x, zcore.draw(x, 10_001, key))
    np.testing.assert_allclose(result.scores, (raw - raw.min()) / (raw.max() - raw.min()), atol=1e-9)
    assert (result.draws, result.reason) == (10_001, "draw budget")


def test_drawing_ends_at_the_overlap():
    """Drawing stops when the lower end of the interval reaches the target, and reports its progress on the way."""
    steps = []
    result = zcore.score(clusters(300), seed=1, target_overlap=0.5, progress=lambda *step: steps.append(step))
    assert result.reason == "overlap reached"
    assert 0.5 <= result.interval[0] <= result.overlap <= result.interval[1]
    assert result.draws < 60_000
    assert steps[-1] == (result.draws, 60_000)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_drawing_does_not_end_before_five_draws_a_row():
    """However low the target, rows are met a few times first: blocks double until there are five draws a row."""
    assert zcore.score(gauss(2000), seed=1, k=20, target_overlap=0.0).draws == 16_384
    few = zcore.score(gauss(2000), seed=1, k=20, target_overlap=0.0, max_draws=100)
    assert (few.draws, few.reason) == (100, "overlap reached")


def test_overlap_is_that_of_independent_runs():
    """The stated overlap holds the mean overlap of pairs of independent runs with half as many draws in its interval."""
    x = clusters(400)
    result = zcore.score(x, seed=1, max_draws=8000, target_overlap=1.0, k=50)
    best = []
    for seed in range(100, 124):
        raw = zcore.raw_scores(x, zcore.draw(x, 4000, np.random.default_rng(seed)), k=50)
        best.append(set(np.argsort(-raw, kind="stable")[:40].tolist()))
    truth = np.mean([len(a & b) / 40 for a, b in zip(best[::2], best[1::2], strict=True)])
    assert result.interval[0] <= truth <= result.interval[1]


def test_rows_that_no_draw_touched_do_not_pass_for_agreement():
    """With far too few draws most rows tie at zero, and the overlap says chance rather than the order of the rows."""
    result = zcore.score(gauss(5000), seed=1, max_draws=40, k=5)
    assert result.overlap < 0.2


def test_nothing_to_rank():
    """No rows, one row and equal rows need no draws and score zero; the overlap is that of chance."""
    for rows, overlap in ((0, 1.0), (1, 1.0), (20, 0.1)):
        result = zcore.score(np.ones((rows, 4)), seed=0)
        np.testing.assert_array_equal(result.scores, np.zeros(rows))
        assert (result.draws, result.overlap, result.reason) == (0, overlap, "draw budget")


def test_inputs_stay_as_they_are():
    """Read-only embeddings and draws are accepted and not written to."""
    x, draws = clusters(300), draws_for(clusters(300))
    before = x.copy(), draws.dims.copy(), draws.points.copy()
    for array in (x, draws.dims, draws.points):
        array.setflags(write=False)
    for method in ("brute", "walk"):
        zcore.raw_scores(x, draws, method=method)
    zcore.score(x, seed=0, max_draws=100)
    for array, was in zip((x, draws.dims, draws.points), before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_draws_do_not_add_up_to_an_overflow():
    """More draws in one sum than 64 bits hold for a single row are refused."""
    with pytest.raises(ValueError, match="at most 16777216 draws"):
        zcore.merge([zcore.Partial(np.zeros(3, np.int64), 2**23)] * 3)


def test_importing_zcore_leaves_numba_alone():
    """The compiler is imported when scores are computed, not before."""
    code = "import sys, swath.kernels.zcore; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_a_folder_to_cache_in(monkeypatch):
    """Where numba finds no folder for its cache, functions are compiled without one."""
    calls = []

    def njit(function, **options):
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("no locator available")
        return function

    monkeypatch.setattr(_zcore_walk, "njit", njit)
    assert _zcore_walk._compiled(len) is len
    assert calls == [{"nogil": True, "cache": True}, {"nogil": True}]

"""Random numbers of many rows at once: whose they are, and how they are distributed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from saliency.calculator.randomness.random_streams import (
    DROPOUT,
    NOISE,
    RandomStreams,
)
from saliency.calculator.randomness.row_streams import RowStreams

DRAWS = {
    "normal": lambda rows, n: rows.standard_normal((len(rows), n)),
    "normal32": lambda rows, n: rows.standard_normal((len(rows), n), np.float32),
    "uniform": lambda rows, n: rows.random((len(rows), n)),
    "uniform32": lambda rows, n: rows.random((len(rows), n), np.float32),
    "bits": lambda rows, n: rows.bits(n),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def row_streams(rows, seed=0, purpose=NOISE, call=0, target=0):
    return RowStreams(RandomStreams(seed), purpose, rows, call, target)


def grid(n_sample, n_example, first=0):
    """Returns the rows of some samples of consecutive examples."""
    return [(m, i) for m in range(n_sample) for i in range(first, first + n_example)]


@every_draw
class TestNumbersOfARow:
    @given(
        rows=st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=30
        ),
        # About the ends of parts, and where rows are so long that each is drawn alone.
        n=st.sampled_from([0, 1, 2, 5, 8, 31, 32, 33, 64, 100, 257, 4099]),
        first=st.sampled_from([0, 10**6, 2**40]),
    )
    def test_are_the_same_whatever_rows_are_beside_it(self, draw, rows, n, first):
        rows = [(m, first + i) for m, i in rows]
        together = draw(row_streams(rows), n)
        assert together.shape == (len(rows), n)
        for row, numbers in zip(rows, together):
            (alone,) = draw(row_streams([row]), n)
            assert alone.tobytes() == numbers.tobytes()

    @pytest.mark.parametrize("rows", [[(0, 3)], grid(2, 5)])
    def test_are_those_of_a_longer_row_at_its_beginning(self, draw, rows):
        longest = draw(row_streams(rows), 5000)
        for n in (1, 7, 32, 50, 1000):
            assert_array_equal(draw(row_streams(rows), n), longest[:, :n])

    def test_depend_on_all_that_they_are_for(self, draw):
        rows = grid(3, 4)
        settings = [
            {},
            {"seed": 1},
            {"purpose": DROPOUT},
            {"call": 1},
            {"call": 2},
            {"target": 1},
        ]
        found = [draw(row_streams(rows, **how), 300) for how in settings]
        again = row_streams(rows)
        found += [draw(again, 300) for _ in range(3)][1:]
        numbers = np.concatenate(found).ravel()
        if numbers.itemsize == 8:
            assert np.unique(numbers).size == numbers.size
        else:  # of 2^32, and floats of 2^24, some come twice by chance
            assert np.unique(numbers).size > 0.99 * numbers.size

    def test_do_not_depend_on_what_was_drawn_for_others(self, draw):
        streams = RandomStreams(0)
        first = draw(RowStreams(streams, NOISE, grid(1, 3), 0), 10)
        for generator in RowStreams(streams, NOISE, grid(1, 3), 0):
            generator.standard_normal(3)
        assert_array_equal(draw(RowStreams(streams, NOISE, grid(1, 3), 0), 10), first)


class TestWords:
    """Compares with NumPy's generator, moved to where the words of a row begin."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_uniform_numbers_are_those_of_numpy(self, dtype):
        key = np.random.SeedSequence(7).generate_state(2, np.uint64)
        kind = 2**63  # the first draw, and the first part, of 4 blocks
        use = 3 * (5 + (2 << 32)) + NOISE
        numbers = row_streams([(1, 8), (1, 9)], 7, NOISE, 5, 2).random((2, 16), dtype)
        for example, row in zip((8, 9), numbers):
            philox = np.random.Philox(key=key, counter=[4 * example, use, kind, 1])
            expected = np.random.Generator(philox).random(16, dtype)
            assert row.tobytes() == expected.tobytes()

    def test_normal_numbers_are_those_of_box_and_muller(self):
        u, v = row_streams([(0, 0)]).random((1, 16)).reshape(8, 2).T
        found = row_streams([(0, 0)]).standard_normal((1, 16)).reshape(8, 2).T
        radius = np.sqrt(-2 * np.log(u))
        # An angle is that of the second number from -pi to pi, as signed bits are.
        angle = 2 * np.pi * v
        expected = radius * np.cos(angle), radius * np.sin(angle)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("purpose", [NOISE, DROPOUT])
    def test_no_word_comes_twice(self, purpose):
        rows = row_streams(grid(5, 20), purpose=purpose)
        words = np.concatenate(
            [rows.bits(200).view(np.uint64).ravel() for _ in range(3)]
            + [g.bit_generator.random_raw(100) for g in rows]
        )
        assert np.unique(words).size == words.size


class TestDistributions:
    N = 200_000

    @pytest.fixture(params=[np.float32, np.float64])
    def normal(self, request):
        return row_streams(grid(20, 100), 3).standard_normal(
            (2000, self.N // 2000), request.param
        )

    def test_normal_numbers(self, normal):
        z = normal.astype(np.float64).ravel()
        assert stats.kstest(z, "norm").pvalue > 1e-3
        for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
            values = z**power
            assert abs(values.mean() - moment) < 4.5 * values.std() / np.sqrt(z.size)
        # Each half of a pair, and both together.
        x, y = z.reshape(-1, 2).T
        assert stats.kstest(x, "norm").pvalue > 1e-3
        assert stats.kstest(x**2 + y**2, "chi2", (2,)).pvalue > 1e-3
        assert abs(np.corrcoef(x**2, y**2)[0, 1]) < 4.5 / np.sqrt(x.size)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_normal_numbers_far_out(self, dtype):
        z = row_streams(grid(1, 1000)).standard_normal((1000, 1000), dtype)
        for far in (2, 3, 4):
            expected = 2 * stats.norm.sf(far) * z.size
            assert abs((abs(z) > far).sum() - expected) < 4.5 * np.sqrt(expected)
        assert 4.5 < abs(z).max() < 6.5

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_uniform_numbers(self, dtype):
        u = row_streams(grid(20, 100)).random((2000, 100), dtype).ravel()
        assert u.min() >= 0
        assert u.max() < 1
        assert stats.kstest(u.astype(np.float64), "uniform").pvalue > 1e-3

    def test_each_bit_is_set_half_of_the_time(self):
        bits = row_streams(grid(10, 100)).bits(100)
        share = [(bits >> k & 1).mean() for k in range(32)]
        assert_allclose(share, 0.5, atol=4.5 * 0.5 / np.sqrt(bits.size))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_rows_samples_and_seeds_are_independent(self, dtype):
        """Of 12 examples beside each other, in 2 samples, under 2 seeds, in 2 draws."""
        n = 20_000
        drawn = []
        for seed in (0, 1):
            rows = row_streams(grid(2, 12), seed)
            drawn += [rows.standard_normal((24, n), dtype) for _ in range(2)]
        z = np.concatenate(drawn)
        for values in (z, abs(z)):
            correlation = np.corrcoef(values)
            assert abs(correlation - np.eye(len(z))).max() < 5 / np.sqrt(n)

    def test_elements_are_independent(self):
        """Those of a row, of both halves of words and of all parts."""
        z = row_streams(grid(20, 500)).standard_normal((10_000, 70), np.float32)
        for values in (z, abs(z)):
            correlation = np.corrcoef(values, rowvar=False)
            assert abs(correlation - np.eye(70)).max() < 5 / np.sqrt(len(z))


class TestArguments:
    def test_size_may_have_any_axes(self):
        rows = grid(1, 3)
        flat = row_streams(rows).standard_normal((3, 24))
        cube = row_streams(rows).standard_normal((3, 2, 3, 4))
        assert_array_equal(cube, flat.reshape(3, 2, 3, 4))
        for size in (3, (3,), np.int64(3)):
            assert row_streams(rows).random(size).shape == (3,)

    def test_size_must_begin_with_the_number_of_rows(self):
        with pytest.raises(ValueError, match=r"size .* rows, 3, got \(4, 2\)"):
            row_streams(grid(1, 3)).random((4, 2))

    @pytest.mark.parametrize("dtype", [np.float16, int])
    def test_other_dtypes_are_refused(self, dtype):
        with pytest.raises(TypeError, match=r"dtype must be float32 or float64, got"):
            row_streams(grid(1, 3)).standard_normal((3, 2), dtype)

    def test_generators_are_one_for_each_row(self):
        rows = grid(2, 3)
        numbers = [g.random() for g in row_streams(rows)]
        assert len(set(numbers)) == 6
        assert numbers == [g.random() for g in row_streams(rows)]
        assert numbers[4] == next(iter(row_streams([(1, 1)]))).random()


CODE = """
import numpy as np
from tests.calculator.test_row_streams import grid, row_streams
for dtype in (np.float32, np.float64):
    z = row_streams(grid(3, 20)).standard_normal((60, 101), dtype)
    alone = [row_streams([r]).standard_normal((1, 101), dtype) for r in grid(3, 20)]
    assert z.tobytes() == np.concatenate(alone).tobytes()
    print(*(float(v) for v in z.ravel()))
"""


@pytest.mark.large
def test_other_processors_differ_in_the_last_digit_alone():
    """Disables what NumPy finds on this one."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    found = []
    widest = [name for name in simd if "512" in name or name == "X86_V4"]
    for disabled in [simd, *([widest] if widest else [])]:
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(disabled)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(np.array(done.stdout.split(), float))
    here = [
        row_streams(grid(3, 20)).standard_normal((60, 101), dtype).ravel()
        for dtype in (np.float32, np.float64)
    ]
    for numbers in found:
        assert_allclose(numbers, np.concatenate(here), rtol=1e-6, atol=1e-6)

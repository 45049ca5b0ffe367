"""Many methods by many metrics, against metrics that are computed one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from saliency import (
    BayesGradCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    SmoothGradCalculator,
)
from saliency.metrics import (
    ROAD,
    Agreement,
    Completeness,
    Deletion,
    EfficientModelRandomisation,
    Evaluation,
    Insertion,
    LocalisationAUC,
    MaxSensitivity,
    MetricResult,
    ModelRandomisation,
    PixelFlipping,
    RandomLogit,
    SensitivityN,
    Sparseness,
    evaluate,
)
from saliency.quantiles import t_quantile
from tests.networks import MLP, build

import chainer
import chainer.functions as F

X = np.random.default_rng(0).standard_normal((6, 4))
SETTINGS = {"reference": "mean", "class_index": 1}
QUIET = {"seed": 0, "show_progress": False}


class Counted:
    """An MLP that counts the rows that it is called with."""

    def __init__(self):
        self.model = build(MLP)
        self.n_row = 0

    def __call__(self, x):
        self.n_row += len(x)
        return self.model(x)


def rows_of(f, call):
    before = f.n_row
    call()
    return f.n_row - before


def result_of(values, larger_is_better=True, name="M"):
    return MetricResult(name, np.asarray(values, "d"), larger_is_better, "signed")


@pytest.fixture(scope="module")
def model():
    return build(MLP)


@pytest.fixture(scope="module")
def evaluated(model):
    ig = IntegratedGradientsCalculator(model, class_index=1, steps=8)
    smooth = SmoothGradCalculator(model, class_index=1), {"M": 3, "method": "abs"}
    scores = np.random.default_rng(1).standard_normal(X.shape)
    metrics = {
        "deletion": Deletion(model, **SETTINGS),
        "insertion": Insertion(model, **SETTINGS),
        "sparse": Sparseness(),
        "sensitivity-n": SensitivityN(model, **SETTINGS),
        "agreement": Agreement(ig, k=2),
    }
    own = {"postprocess_fn": lambda samples: samples**3}
    methods = {"IG": ig, "smooth": smooth, "given": scores, "cubed": (ig, own)}
    return methods, metrics, evaluate(methods, X, metrics, n_random=3, **QUIET)


class TestAgainstOneByOne:
    def test_every_value_is_that_of_the_metric_alone(self, model, evaluated):
        methods, metrics, found = evaluated
        gradient = GradientCalculator(model, class_index=1)
        for method, given in {**methods, "gradient": gradient}.items():
            calculator, own = given if isinstance(given, tuple) else (given, {})
            scores = given
            if not isinstance(given, np.ndarray):
                scores = calculator.compute_aggregate(X, **own, **QUIET)
            for name, metric in metrics.items():
                alone = metric.compute(scores, X, **QUIET)
                together = found.results[method, name]
                assert_allclose(together.values, alone.values, rtol=1e-12, atol=1e-14)
                assert together.settings == alone.settings or name == "agreement"
                if alone.curve is not None:
                    assert_allclose(together.curve, alone.curve, rtol=1e-12)
                    assert_array_equal(together.fractions, alone.fractions)

    def test_the_random_ranking(self, evaluated):
        methods, metrics, found = evaluated
        random = found.results["random", "deletion"]
        alone = metrics["deletion"].of_random(X, n_orders=3, **QUIET)
        assert_allclose(random.values, alone.values, rtol=1e-12)
        assert random.metric == alone.metric == "Deletion, random"
        # Of 18 maps of four numbers, whose correlations are spread evenly around 0.
        assert abs(found.results["random", "sensitivity-n"].mean) < 0.4
        (scores,) = (methods["given"],)
        one = {"scale": Completeness(build(MLP), **SETTINGS), "gini": Sparseness()}
        small = evaluate({"a": scores}, X, one, **QUIET).results["random", "scale"]
        large = evaluate({"a": 1e6 * scores}, X, one, **QUIET)
        assert large.results["random", "scale"].mean > 1e4 * small.mean
        assert len({*large.results["random", "gini"].values}) == len(X)

    def test_arrays_and_what_is_printed(self, evaluated):
        methods, metrics, found = evaluated
        assert found.methods == [*methods, "gradient", "random"]
        assert found.metrics == [*metrics]
        assert found.larger_is_better == [False, True, None, True, None]
        for (method, metric), result in found.results.items():
            at = found.methods.index(method), found.metrics.index(metric)
            assert found.means[at] == result.mean
            assert found.standard_errors[at] == result.standard_error
        assert "deletion (smaller)" in str(found)
        assert "Differences to IG, with paired 95 % confidence intervals" in str(found)
        assert found.to_markdown().count("| gradient | ") == 2
        assert "reference='mean'" in found.to_markdown()
        frame = found.to_dataframe()
        assert len(frame) == len(found.results)
        row = frame.set_index(["method", "metric"]).loc["given", "deletion"]
        assert row["better"] == "smaller" and row["reference"] == "mean"
        assert row["low"] < row["difference"] < row["high"]

    def test_pictures_are_given_values_and_curves(self, evaluated):
        given, metrics, found = evaluated
        ranking, curves = found.ranking(), found.curves("deletion")
        assert [*ranking["values"]] == [*ranking["larger_is_better"]] == [*metrics]
        methods = [*given, "gradient"]
        assert [*ranking["values"]["sparse"]] == [*curves["curves"]] == methods
        of_random = found.results["random", "deletion"]
        assert_array_equal(ranking["random"]["deletion"], of_random.values)
        assert_array_equal(curves["random"], of_random.curve)
        assert curves["fractions"].shape == curves["curves"]["IG"].shape
        with pytest.raises(ValueError, match=r"one of 'deletion', .* got 'sparse"):
            found.curves("sparse")

    def test_numbers_have_the_decimals_that_their_errors_leave_them(self):
        def printed(values):
            results = {("a", "M"): result_of(values), ("b", "M"): result_of(values)}
            (_, (_, cell), _), _ = Evaluation(results).tables().values()
            return cell

        assert printed([-0.02, 0.01999]) == "0.000 ± 0.020"
        assert printed([1234, 1300]) == "1267 ± 33"
        assert printed([0.5, 0.5]) == "0.5 ± 0"
        assert printed([1e-9, 3e-9]) == "2e-09 ± 1e-09"
        assert printed([0.512345, 0.512355]) == "0.51235 ± 5e-06"
        assert printed([2011.874, 2011.8741]) == "2011.87405 ± 5e-05"
        assert printed([1, 1 + 2**-50]) == "1 ± 4.44e-16"

    def test_names_are_texts(self):
        found = evaluate({"<b>|": X}, X, {"a|b": Sparseness()}, **QUIET)
        assert "&lt;b&gt;|" in found.to_html() == found._repr_html_()
        assert "| <b>\\| |" in found.to_markdown()

    @pytest.mark.large
    def test_workers_and_files_give_the_same_bytes(self, evaluated, tmp_path):
        methods, metrics, _ = evaluated
        metrics = {**metrics, "near": MaxSensitivity(n_samples=2)}
        methods = {name: methods[name] for name in ("IG", "smooth")}
        expected = evaluate(methods, X, metrics, **QUIET)
        in_files = evaluate(methods, X, metrics, out=tmp_path / "scores", **QUIET)
        with pytest.warns(UserWarning, match=r"sensitivity-n of zero: .* 6 examples"):
            by_workers = evaluate(
                {**methods, "zero": np.zeros_like(X)},
                *(X, {k: v for k, v in metrics.items() if k != "near"}),
                workers=2,
                **QUIET,
            )
        for pair, result in expected.results.items():
            others = [in_files] + [by_workers] * (pair[1] != "near")
            for other in others:
                assert other.results[pair].values.tobytes() == result.values.tobytes()
        assert (tmp_path / "scores" / "IG.npy").exists()


class TestIntervals:
    @pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 199, 5000])
    def test_the_quantile_is_that_of_scipy(self, df):
        for p in (0.75, 0.975, 0.9995):
            assert_allclose(t_quantile(p, df), stats.t.ppf(p, df), rtol=1e-9)

    def test_paired_differences_are_those_of_scipy(self):
        a, b = np.random.default_rng(0).standard_normal((2, 12))
        results = {("a", "M"): result_of(a), ("b", "M"): result_of(b)}
        found = Evaluation(results, confidence=0.9).differences
        expected = stats.ttest_rel(b, a).confidence_interval(0.9)
        assert_allclose(found.means[0, 0], b.mean() - a.mean())
        assert_allclose((found.lows[0, 0], found.highs[0, 0]), expected, rtol=1e-9)

    @pytest.mark.parametrize(
        ("larger_is_better", "up", "down"),
        [
            (True, "better", "worse"),
            (False, "worse", "better"),
            (None, "larger", "smaller"),
        ],
    )
    def test_a_clear_difference_is_named(self, larger_is_better, up, down):
        base = np.arange(5.0)
        noise = np.array([0.1, -0.1, 0.05, 0, -0.05])
        others = {
            "up": base + 1 + noise,
            "down": base - 1 + noise,
            "same": base + noise,
        }
        results = {("first", "M"): result_of(base, larger_is_better)}
        for name, values in others.items():
            results[name, "M"] = result_of(values, larger_is_better)
        found = Evaluation(results).differences
        assert [found.verdict(i, 0) for i in range(3)] == [up, down, ""]

    def test_one_example_has_no_interval(self):
        found = evaluate({"a": X[:1], "b": X[1:2]}, X[:1], [Sparseness()], **QUIET)
        assert np.isnan(found.standard_errors).all()
        assert np.isnan(found.differences.lows).all()
        assert "[" not in str(found)


class TestPasses:
    def test_methods_explain_once_and_curves_share_passes(self):
        f = Counted()
        ig = IntegratedGradientsCalculator(f, class_index=1, steps=8)
        explaining = rows_of(f, lambda: ig.compute_aggregate(X, **QUIET))
        deletion, insertion = Deletion(f, **SETTINGS), Insertion(f, **SETTINGS)
        flipping = PixelFlipping(f, order="least", n_steps=2, **SETTINGS)
        one = rows_of(f, lambda: deletion.compute(X, X, **QUIET))
        alone = {"with_gradient": False, "n_random": 0, **QUIET}

        def rows(*metrics):
            return rows_of(f, lambda: evaluate({"IG": ig}, X, metrics, **alone))

        assert rows(Sparseness()) == explaining
        assert rows(deletion) == explaining + one
        # Of five steps, the ends of both orders are the same.
        assert rows(deletion, insertion) == explaining + one + 3 * len(X)
        assert rows(deletion, flipping, insertion) == rows(deletion, insertion)
        elsewhere = Insertion(f, reference=1, class_index=1)
        other = rows_of(f, lambda: elsewhere.compute(X, X, **QUIET))
        assert rows(deletion, elsewhere) == explaining + one + other

    @pytest.mark.parametrize(
        "metric", [MaxSensitivity(n_samples=2), RandomLogit(), ModelRandomisation()]
    )
    def test_what_explains_again_starts_from_what_is_there(self, model, metric):
        calculator = BayesGradCalculator(build(MLP, dropout=0.5), class_index=1)
        settings = {"M": 2, "method": "abs"}
        found = evaluate({"a": (calculator, settings)}, X, [metric], **QUIET)
        alone = metric.compute(calculator, X, **settings, **QUIET)
        (name,) = found.metrics
        assert_allclose(found.results["a", name].values, alone.values, rtol=1e-12)
        assert ("random", name) not in found.results
        again = EfficientModelRandomisation(n_bins=3)
        found = evaluate({"a": (calculator, settings)}, X, [again], **QUIET)
        alone = again.compute(calculator, X, **settings, **QUIET)
        (result, _) = found.results.values()
        assert_allclose(result.values, alone.values, rtol=1e-12)


class TestTheGradient:
    def test_is_of_what_the_first_calculator_explains(self, model):
        f = lambda x: F.exp(model(x))  # noqa: E731
        lrp = LRPCalculator(model)
        found = evaluate({"lrp": lrp}, X, [Sparseness()], **QUIET)
        of_argmax = GradientCalculator(model, class_index="argmax")
        expected = Sparseness().compute(of_argmax, X, show_progress=False)
        assert_allclose(found.results["gradient", "Sparseness"].values, expected.values)
        of_metric = Deletion(model, eval_fun=f, class_index=2)
        found = evaluate({"given": X}, X, [of_metric, Sparseness()], **QUIET)
        gradient = GradientCalculator(model, eval_fun=f, class_index=2)
        expected = Sparseness().compute(gradient, X, show_progress=False)
        assert_allclose(found.results["gradient", "Sparseness"].values, expected.values)

    def test_is_not_there_twice_nor_without_a_model(self, model):
        names = {"g": (GradientCalculator(model, class_index=1), {"method": "abs"})}
        assert evaluate(names, X, [Sparseness()], **QUIET).methods == ["g", "random"]
        alone = evaluate({"given": X}, X, [Sparseness()], **QUIET)
        assert alone.methods == ["given", "random"]
        times = GradientCalculator(model, class_index=1, multiply_target=True)
        found = evaluate({"times": times}, X, [Sparseness()], n_random=0, **QUIET)
        assert found.methods == ["times", "gradient"]

    def test_where_there_is_none_an_error_says_so_first(self):
        f = Counted()
        steps = lambda x: chainer.Variable(f(x).array.round())  # noqa: E731
        metric = Deletion(build(MLP), eval_fun=steps, class_index=1)
        with pytest.raises(ValueError, match="gradient, which with_gradient=False"):
            evaluate({"given": X}, X, [metric], **QUIET)
        assert evaluate({"given": X}, X, [metric], with_gradient=False, **QUIET)


def test_lengths_differ():
    scores = np.random.default_rng(3).standard_normal((3, 5))
    scores[0, 3:] = scores[2, 2:] = np.nan
    truth = np.zeros((3, 5), bool)
    truth[:, 0] = True
    found = evaluate(
        {"a": scores}, None, [LocalisationAUC(truth)], n_random=150, **QUIET
    )
    # One element among others is anywhere in their order.
    assert_allclose(found.results["random", "LocalisationAUC"].values, 0.5, atol=0.1)


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"methods": {}}, ValueError, "methods must hold at least one"),
            ({"methods": [X]}, TypeError, "methods must be a dict .* got list"),
            ({"methods": {1: X}}, TypeError, "methods must have names of type str"),
            ({"methods": {"a": "b"}}, TypeError, r"methods\['a'\]: .* got str"),
            ({"methods": {"a": X[:2]}}, ValueError, r"methods\['a'\]: .* 6 examples"),
            ({"methods": {"a": (X, {})}}, TypeError, "pair of a calculator"),
            ({"methods": {"random": X}}, ValueError, "'random'.* pass n_random=0"),
            ({"methods": {"gradient": X}}, ValueError, "pass with_gradient=False"),
            ({"methods": {"a/b": X, "a:b": X}}, ValueError, "'a/b' and 'a:b'"),
            ({"metrics": []}, ValueError, "metrics must hold at least one"),
            ({"metrics": Sparseness()}, TypeError, "metrics must be a list"),
            ({"metrics": [Sparseness]}, TypeError, "a class; call it"),
            ({"metrics": [Sparseness()] * 2}, ValueError, "several are Sparseness"),
            ({"metrics": [MaxSensitivity()]}, TypeError, "MaxSensitivity, .* ndarray"),
            ({"confidence": 95}, ValueError, "confidence must be .* got 95"),
            ({"n_random": -1}, ValueError, "n_random must be an int >= 0"),
            ({"seed": -1}, ValueError, "seed must be an int >= 0"),
            ({"workers": "two"}, TypeError, "workers must be an int"),
            ({"steps": 4}, TypeError, "takes no argument 'steps'"),
        ],
    )
    def test_at_the_door(self, tmp_path, change, error, message):
        f = Counted()
        first = {"one": (SmoothGradCalculator(f, class_index=1), {"M": 2}), "two": X}
        given = {
            "methods": first,
            "metrics": [Deletion(f, **SETTINGS)],
            "out": tmp_path,
            **change,
        }
        with pytest.raises(error, match=message):
            evaluate(data=X, **{**QUIET, **given})
        assert f.n_row == 0

    def test_settings_of_a_method(self, model):
        calculator = GradientCalculator(model, class_index=1)
        for own, message in (
            ({"trian": True}, r"methods\['a'\] takes no argument .* mean 'train'"),
            ({"seed": 1}, r"methods\['a'\] must leave seed out"),
            ([1], r"methods\['a'\] must have the arguments .* dict, got list"),
        ):
            with pytest.raises(TypeError, match=message):
                evaluate({"a": (calculator, own)}, X, [Sparseness()], **QUIET)
        with pytest.raises(TypeError, match="takes M for calculators"):
            evaluate({"a": X}, X, [Sparseness()], M=3, **QUIET)

    def test_one_in_the_middle_names_the_method_and_the_metric(self, model):
        before = [p.array.tobytes() for p in model.params()]
        scores = np.full_like(X, np.nan)
        metrics = [Deletion(model, **SETTINGS), Sparseness()]
        with pytest.raises(ValueError, match=r"Deletion of a: .* must be finite"):
            evaluate({"a": scores}, X, metrics, with_gradient=False, **QUIET)
        assert [p.array.tobytes() for p in model.params()] == before

    def test_warnings_name_the_method_and_the_line(self, model):
        calculator = GradientCalculator(model, class_index=0)
        metric = SensitivityN(model, class_index=1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            evaluate({"a": calculator, "zero": 0 * X}, X, [metric], **QUIET)
        other, constant = caught  # each once, whatever it is about
        assert str(other.message).startswith("methods['a']: SensitivityN measures")
        assert str(constant.message).startswith("SensitivityN of zero: ")
        assert {one.filename for one in caught} == {__file__}

    def test_results_of_other_examples_make_no_table(self):
        results = {("a", "M"): result_of(X[0]), ("b", "M"): result_of(X[0, :3])}
        with pytest.raises(ValueError, match="of 3 and 4 examples"):
            Evaluation(results)
        with pytest.raises(ValueError, match="results must hold at least one"):
            Evaluation({})


def test_road_keeps_passes_of_its_own():
    road = ROAD(build(MLP), class_index=1)
    assert not Deletion(build(MLP)).shares_passes(road)

"""Explanations while a network is trained: pictures, numbers, and nothing changed."""

from __future__ import annotations

import contextlib
import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    FilterVisualizer,
    GradCAMCalculator,
    GradientCalculator,
    ImageVisualizer,
    IntegratedGradientsCalculator,
    LRPCalculator,
    MolVisualizer,
    OcclusionCalculator,
    SmilesVisualizer,
    SmoothGradCalculator,
    TableVisualizer,
    TextVisualizer,
    fast_cpu,
)
from saliency.training import KeptRandomState, SaliencyReport
from tests.covering import every_value
from tests.networks import Fuse

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import training
from chainer.training import extensions

pytestmark = pytest.mark.usefixtures("small_pictures")


class Table(chainer.Chain):
    """A network that draws random numbers and keeps statistics while it is trained."""

    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_in, 8)
            self.norm = L.BatchNormalization(8)
            self.fuse = Fuse()
            self.l2 = L.Linear(8, n_out)

    def forward(self, x):
        h = F.dropout(F.relu(self.norm(self.l1(x))), 0.3)
        return self.l2(self.fuse(h))


class Digits(chainer.Chain):
    """A small convolutional network with dropout."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(1, 4, 3, pad=1)
            self.output = L.Linear(None, 10)

    def forward(self, x):
        h = F.max_pooling_2d(F.relu(self.conv(x)), 2)
        return self.output(F.dropout(h, 0.2))


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4)).astype("float32")
    return x, (x[:, 0] > 0).astype("int32") + (x[:, 1] > 1)


def digits(n=120):
    bunch = load_digits()
    x = bunch.images[:n, None].astype("float32") / 16
    return x, bunch.target[:n].astype("int32")


def new_trainer(model, data, out, n_epoch=2, batchsize=20, device=-1):
    """Returns a trainer of a new classifier, whose order and dropout are random."""
    classifier = L.Classifier(model)
    classifier.to_device(device)
    optimizer = chainer.optimizers.Adam().setup(classifier)
    dataset = chainer.datasets.TupleDataset(*data)
    iterator = chainer.iterators.SerialIterator(dataset, batchsize)
    updater = training.StandardUpdater(iterator, optimizer, device=device)
    return training.Trainer(updater, (n_epoch, "epoch"), out=str(out))


def new_network(network, seed=0):
    np.random.seed(seed)
    return network()


@pytest.fixture(autouse=True)
def state_of_numpy():
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def bytes_of(trainer):
    """Returns all that a training computes with: weights, gradients, optimizer."""
    target = {}
    trainer.updater.serialize(chainer.serializers.DictionarySerializer(target))
    model = trainer.updater.get_optimizer("main").target
    target.update((f"gradient {name}", p.grad) for name, p in model.namedparams())
    arrays = {k: None if v is None else np.asarray(v) for k, v in target.items()}
    return {
        **{k: None if a is None else (str(a.dtype), a.tobytes()) for k, a in
           arrays.items()},
        "random state": np.random.get_state()[1].tobytes(),
        "position in random state": np.random.get_state()[2:],
        "configuration": dict(vars(chainer.config._local)),
    }  # fmt: skip


def pictures_in(folder):
    return {p.name: p.read_bytes() for p in sorted(Path(folder).glob("*.png"))}


def gini_by_pairs(values):
    """Half the mean difference of all pairs of magnitudes, relative to their mean."""
    magnitudes = np.abs(values)
    pairs = itertools.product(magnitudes, repeat=2)
    return np.mean([abs(a - b) for a, b in pairs]) / (2 * magnitudes.mean())


CALCULATORS = {
    "gradient": GradientCalculator,
    "smooth_grad": SmoothGradCalculator,
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": IntegratedGradientsCalculator,
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "lrp": partial(LRPCalculator, rule="epsilon"),
}


class TestWhatIsReported:
    @pytest.mark.large
    def test_a_picture_each_time_and_its_numbers_in_the_log(self, tmp_path):
        x, t = table()
        model = new_network(Table)
        trainer = new_trainer(model, (x, t), tmp_path)
        calculator = IntegratedGradientsCalculator(model, class_index=1)
        trainer.extend(SaliencyReport(calculator, TableVisualizer(), x))
        trainer.extend(extensions.LogReport())
        trainer.run()
        assert [*pictures_in(tmp_path)] == [
            "saliency_iter_2.png",
            "saliency_iter_4.png",
        ]
        for path in tmp_path.glob("*.png"):
            with Image.open(path) as picture:
                assert np.ptp(np.asarray(picture.convert("L"))) > 100
        first, last = json.loads((tmp_path / "log").read_text())
        explanation = calculator.explain(x)
        sparseness = np.mean([gini_by_pairs(row) for row in explanation.values])
        assert last["saliency/sparseness"] == pytest.approx(sparseness, rel=1e-6)
        total = explanation.values.sum() / len(x)
        assert last["saliency/total"] == pytest.approx(total, rel=1e-5)
        with chainer.using_config("train", False):
            score = model(x).array[:, 1].mean()
        assert last["saliency/score"] == pytest.approx(score, rel=1e-5)
        assert first["saliency/sparseness"] != last["saliency/sparseness"]

    def test_padding_is_no_element_and_zeros_are_even(self, tmp_path):
        model = new_network(Texts)
        trainer = new_trainer(model, (texts(), np.array([0, 1], "int32")), tmp_path)
        trainer.updater.converter = converted_texts
        calculator = GradientCalculator(
            model,
            target_extractor=VariableMonitorLinkHook(model.embed),
            class_index=0,
        )
        report = SaliencyReport(
            calculator, TextVisualizer(), texts(), ch_axis=3, element_names=TOKENS
        )
        trainer.extend(report)
        trainer.extend(extensions.LogReport())
        trainer.run()
        values = calculator.explain(texts(), ch_axis=3).values
        rows = [values[0], values[1][:2]]
        last = json.loads((tmp_path / "log").read_text())[-1]
        expected = np.mean([gini_by_pairs(row) for row in rows])
        assert last["saliency/sparseness"] == pytest.approx(expected, rel=1e-5)
        model.output.W.array[...] = 0
        with chainer.reporter.Reporter().scope(trainer.observation):
            report(trainer)
        assert trainer.observation["saliency/sparseness"] == 0

    @pytest.mark.large
    def test_several_reports_have_names_of_their_own(self, tmp_path):
        x, t = table()
        model = new_network(Table)
        trainer = new_trainer(model, (x, t), tmp_path, n_epoch=1)
        calculator = GradientCalculator(model, class_index=0)
        new_report = partial(SaliencyReport, calculator, TableVisualizer(), x)
        trainer.extend(new_report())
        trainer.extend(new_report(trigger=(1, "iteration"), plot={"kind": "bar"}))
        trainer.extend(
            new_report(filename="of/{.updater.epoch}_{.updater.iteration}.png"),
            name="of_zero",
        )
        trainer.extend(extensions.LogReport())
        trainer.run()
        names = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")]
        assert sorted(names) == [
            "of/1_2.png",
            "saliency_1_iter_1.png",
            "saliency_1_iter_2.png",
            "saliency_iter_2.png",
        ]
        log = json.loads((tmp_path / "log").read_text())[0]
        for name in ("saliency", "saliency_1", "of_zero"):
            assert f"{name}/sparseness" in log

    @pytest.mark.large
    def test_every_class_of_images(self, tmp_path):
        x, t = digits(40)
        model = new_network(Digits)
        trainer = new_trainer(model, (x, t), tmp_path, n_epoch=1)
        calculator = OcclusionCalculator(
            model, slide_axis=(2, 3), size=4, stride=4, class_index="all"
        )
        trainer.extend(SaliencyReport(calculator, ImageVisualizer(), x[:2], ch_axis=3))
        trainer.run()
        assert [*pictures_in(tmp_path)] == ["saliency_iter_2.png"]

    @pytest.mark.parametrize("visualizer", [MolVisualizer, SmilesVisualizer])
    @pytest.mark.parametrize("extension", ["png", "svg"])
    def test_molecules(self, visualizer, extension, tmp_path):
        pytest.importorskip("rdkit.Chem", reason="needs RDKit")
        atoms = [np.array([6, 6, 8], "int32"), np.array([6, 7], "int32")]
        model = new_network(Texts)
        trainer = new_trainer(
            model, (atoms, np.array([0, 1], "int32")), tmp_path, n_epoch=1, batchsize=2
        )
        trainer.updater.converter = converted_texts
        calculator = GradientCalculator(
            model,
            target_extractor=VariableMonitorLinkHook(model.embed),
            class_index=1,
        )
        report = SaliencyReport(
            calculator,
            visualizer(),
            atoms,
            filename="{.updater.epoch}." + extension,
            ch_axis=3,
            molecules=["CCO", "CN"],
        )
        trainer.extend(report)
        trainer.run()
        assert (tmp_path / f"1.{extension}").stat().st_size > 1000


@pytest.mark.gpu
def test_a_network_on_a_gpu(tmp_path):
    x, t = digits(40)
    model = new_network(Digits)
    trainer = new_trainer(model, (x, t), tmp_path, n_epoch=1, device=0)
    report = SaliencyReport(LRPCalculator(model), ImageVisualizer(), x[:2], ch_axis=2)
    trainer.extend(report)
    trainer.extend(extensions.LogReport())
    trainer.run()
    assert [*pictures_in(tmp_path)] == ["saliency_iter_2.png"]
    log = json.loads((tmp_path / "log").read_text())[-1]
    values = LRPCalculator(model.to_cpu()).explain(x[:2], ch_axis=2).values
    sparseness = np.mean([gini_by_pairs(row.ravel()) for row in values])
    assert log["saliency/sparseness"] == pytest.approx(sparseness, rel=1e-4)


TOKENS = [["a", "good", "film"], ["dull", "film"]]


def texts():
    return [np.array([1, 2, 3], "int32"), np.array([4, 3], "int32")]


class Texts(chainer.Chain):
    """The mean of embedded words, of sentences in a list."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 5)
            self.output = L.Linear(5, 2)

    def forward(self, sentences):
        ends = np.cumsum([len(words) for words in sentences])[:-1]
        embedded = F.tanh(self.embed(F.concat(sentences, axis=0)))
        parts = F.split_axis(embedded, ends, axis=0)
        return self.output(F.stack([F.mean(part, axis=0) for part in parts]))


def converted_texts(batch, device=None):
    return [words for words, _ in batch], np.array([t for _, t in batch], "int32")


class TestNothingIsChanged:
    @every_value(
        new_calculator=CALCULATORS, in_fast_cpu={"plain": False, "fast_cpu": True}
    )
    @pytest.mark.large
    def test_a_training_is_the_same_with_a_report(
        self, new_calculator, in_fast_cpu, tmp_path
    ):
        x, t = table()
        ends = []
        for is_reported in (False, True):
            model = new_network(Table)
            trainer = new_trainer(model, (x, t), tmp_path)
            if is_reported:
                calculator = new_calculator(model, class_index=0)
                report = SaliencyReport(calculator, TableVisualizer(), x[:1], seed=None)
                trainer.extend(report, trigger=(2, "iteration"))
            with fast_cpu() if in_fast_cpu else contextlib.nullcontext():
                trainer.run()
            ends.append(bytes_of(trainer))
        assert len(pictures_in(tmp_path)) == 2
        assert ends[0] == ends[1]

    @pytest.mark.large
    def test_a_training_of_convolutions_in_fast_cpu(self, tmp_path):
        images = digits(80)
        ends = []
        for is_reported in (False, True):
            model = new_network(Digits)
            trainer = new_trainer(model, images, tmp_path)
            if is_reported:
                calculator = GradCAMCalculator(model, class_index=1)
                report = SaliencyReport(calculator, ImageVisualizer(), images[0][:1])
                trainer.extend(report, trigger=(3, "iteration"))
            with fast_cpu():
                trainer.run()
            ends.append(bytes_of(trainer))
        assert [*pictures_in(tmp_path)] == [
            "saliency_iter_3.png",
            "saliency_iter_6.png",
        ]
        assert ends[0] == ends[1]

    @pytest.mark.parametrize("blows_at", [1, 2, 4])
    @pytest.mark.parametrize("new_calculator", CALCULATORS.values(), ids=CALCULATORS)
    def test_after_an_exception_in_the_model(self, new_calculator, blows_at, tmp_path):
        x, t = table()
        model = new_network(Table)
        calculator = new_calculator(model, class_index=0)
        report = SaliencyReport(calculator, TableVisualizer(), x[:8], batchsize=2)
        trainer = new_trainer(model, (x, t), tmp_path, n_epoch=1)
        trainer.run()
        before = bytes_of(trainer)
        model.fuse.blows_at = model.fuse.n_call + blows_at
        trainer.observation = {}
        with (
            chainer.reporter.Reporter().scope(trainer.observation),
            pytest.raises(RuntimeError, match="the fuse has blown"),
        ):
            report(trainer)
        assert bytes_of(trainer) == before
        assert trainer.observation == {}
        assert pictures_in(tmp_path) == {}

    def test_after_an_exception_while_it_draws(self, tmp_path):
        class Broken(TableVisualizer):
            def visualize_summary(self, *args, **kwargs):
                raise RuntimeError("no ink")

        x, t = table()
        model = new_network(Table)
        trainer = new_trainer(model, (x, t), tmp_path, n_epoch=1)
        trainer.run()
        before = bytes_of(trainer)
        calculator = GradientCalculator(model, class_index=0)
        with pytest.raises(RuntimeError, match="no ink"):
            SaliencyReport(calculator, Broken(), x)(trainer)
        assert bytes_of(trainer) == before
        assert pictures_in(tmp_path) == {}


@pytest.fixture(params=["digits", pytest.param("mnist", marks=pytest.mark.large)])
def images(request):
    if request.param == "digits":
        return digits(80)
    folder = chainer.dataset.get_dataset_directory("pfnet/chainer/mnist", False)
    if not Path(folder, "train.npz").is_file():
        pytest.skip("MNIST is not in Chainer's data folder (CHAINER_DATASET_ROOT)")
    train, _ = chainer.datasets.get_mnist(ndim=3)
    return chainer.dataset.concat_examples(train[:6000])


class TestResuming:
    """The order of the examples, dropout and the calculators' seeds are all random."""

    def new(self, images, out, seed, seed_of_report=None):
        model = new_network(Digits, seed)
        n_batch = 4 if len(images[0]) < 1000 else 20
        trainer = new_trainer(
            model, images, out, n_epoch=3, batchsize=len(images[0]) // n_batch
        )
        new_report = partial(
            SaliencyReport, visualizer=ImageVisualizer(), data=images[0][:2], ch_axis=2
        )
        bayes_grad = BayesGradCalculator(model, class_index="argmax")
        trainer.extend(
            new_report(bayes_grad, seed=seed_of_report, M=3), name="bayes_grad"
        )
        lrp = new_report(LRPCalculator(model), trigger=(n_batch // 2, "iteration"))
        trainer.extend(lrp, name="lrp")
        trainer.extend(KeptRandomState())
        trainer.extend(extensions.snapshot(), trigger=(1, "iteration"))
        return trainer

    @pytest.mark.large
    def test_a_resumed_training_writes_the_same_files(self, images, tmp_path):
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        trainer = self.new(images, parts, seed=0)
        trainer.extend(interrupt, trigger=lambda t: t.updater.epoch_detail > 1.7)
        with pytest.raises(Interrupted):
            trainer.run(show_loop_exception_msg=False)
        # In the middle of the second epoch, an iteration before the interruption.
        snapshot = parts / f"snapshot_iter_{trainer.updater.iteration - 1}"
        with np.load(snapshot, allow_pickle=False) as file:
            seed_of_report = int(file["extensions/bayes_grad/seed"])
        n_picture = len(pictures_in(parts))

        trainer = self.new(images, parts, seed=1)  # it draws other numbers until ...
        chainer.serializers.load_npz(snapshot, trainer)  # ... this
        trainer.run()
        end = bytes_of(trainer)
        pictures = pictures_in(parts)
        assert 0 < n_picture < len(pictures) == 3 + 6

        trainer = self.new(images, whole, 0, seed_of_report)
        trainer.run()
        assert pictures_in(whole) == pictures
        assert bytes_of(trainer) == end

    @pytest.mark.large
    def test_a_snapshot_from_before_there_were_reports(self, tmp_path):
        images = digits(80)
        trainer = new_trainer(new_network(Digits), images, tmp_path, n_epoch=1)
        trainer.extend(extensions.snapshot(filename="snapshot"))
        trainer.run()
        trainer = self.new(images, tmp_path, seed=0)
        with pytest.warns(UserWarning) as warned:
            chainer.serializers.load_npz(tmp_path / "snapshot", trainer)
        assert sum("KeptRandomState" in str(w.message) for w in warned) == 1
        trainer.run()
        assert "bayes_grad_iter_12.png" in pictures_in(tmp_path)


class Interrupted(Exception):
    pass


def interrupt(trainer):
    raise Interrupted


class TestBeforeTheTraining:
    def new(self, out, data=None, network=Table, examples=None, **arguments):
        x, t = table() if examples is None else examples
        model = new_network(network)
        trainer = new_trainer(model, (x, t), out, n_epoch=1)
        calculator = GradientCalculator(model, class_index=0)
        visualizer = arguments.pop("visualizer", TableVisualizer())
        data = x if data is None else data
        trainer.extend(SaliencyReport(calculator, visualizer, data, **arguments))
        return trainer

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"data": np.zeros((3, 7), "f")}, ValueError, r"\b7\b"),
            ({"feature_names": ["a", "b"]}, ValueError, "feature_names"),
            ({"plot": {"tilte": "x"}}, TypeError, "tilte"),
            ({"plot": {"kind": "image"}}, ValueError, "kind must be one of 'bar'"),
            ({"visualizer": ImageVisualizer()}, ValueError, "kind='image'"),
            ({"filename": "x.xyz"}, ValueError, "'xyz' is not supported"),
            ({"filename": "{.updater.epohc}.png"}, ValueError, "fields of the trainer"),
            ({"filename": "{name}.png"}, ValueError, "fields of the trainer"),
            ({"M": 0}, ValueError, "M must be an int >= 1"),
            ({"seed": -1}, ValueError, "seed"),
        ],
    )
    def test_what_would_fail_later_fails_first(
        self, arguments, error, message, tmp_path
    ):
        trainer = self.new(tmp_path, **arguments)
        with pytest.raises(error, match=message):
            trainer.run()
        assert trainer.updater.iteration == 0
        assert pictures_in(tmp_path) == {}

    def test_parameters_without_a_value_are_no_mistake(self, tmp_path):
        images = digits(40)
        trainer = self.new(
            tmp_path, network=Digits, examples=images, data=images[0][:1],
            visualizer=ImageVisualizer(), ch_axis=2,
        )  # fmt: skip
        trainer.run()
        assert [*pictures_in(tmp_path)] == ["saliency_iter_2.png"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"calculator": Table()}, TypeError, "calculator must be a calculator"),
        ({"visualizer": "table"}, TypeError, "visualizer must be a TableVisualizer"),
        ({"visualizer": FilterVisualizer()}, TypeError, "visualizer must be a Table"),
        ({"visualizer": TableVisualizer}, TypeError, "visualizer must be a Table"),
        ({"trigger": (1, "week")}, ValueError, r"trigger must be .*\(1, 'week'\)"),
        ({"trigger": (0, "epoch")}, ValueError, r"trigger must be .*\(0, 'epoch'\)"),
        ({"trigger": (0.5, "iteration")}, ValueError, "trigger must be"),
        ({"trigger": None}, ValueError, "trigger must be .* got None"),
        ({"filename": Path("x.png")}, TypeError, "filename must be a str or None"),
        ({"plot": "bar"}, TypeError, "plot must be a dict of arguments"),
        ({"plot": {"ax": None}}, ValueError, "plot must not hold 'ax'"),
        ({"batch_size": 3}, TypeError, "did you mean 'batchsize'"),
    ],
)
def test_arguments_that_do_not_fit(arguments, error, message):
    given = {
        "calculator": GradientCalculator(Table(), class_index=0),
        "visualizer": TableVisualizer(),
        "data": table()[0],
        **arguments,
    }
    with pytest.raises(error, match=message):
        SaliencyReport(**given)

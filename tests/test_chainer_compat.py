"""The import of Chainer. What it leaves behind is judged in fresh processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import traceback
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import saliency
from saliency import chainer_compat

import chainer
import chainer.functions as F
import chainer.testing
from chainer import gradient_check

ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("calculator", "cpu", "deep_lift", "lrp", "metrics", "models", "report"),
    *("training", "visualizer"),
)

# Makes modules unimportable, as on a machine that does not have them.
WITHOUT = """
    import sys
    def without(*names):
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name in names:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Blocker())
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a new Python process."""
    script = textwrap.dedent(WITHOUT) + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )


def check(script: str) -> None:
    """Runs a script that has to succeed and to print nothing, warnings included."""
    done = run(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestImport:
    @pytest.mark.large
    def test_needs_neither_pkg_resources_nor_distutils(self):
        check("""
            without("pkg_resources", "numpy.distutils", "distutils", "setuptools")
            import saliency
            import chainer, chainer.gradient_check, chainer.testing
            assert chainer.__version__ == "7.8.1"
        """)

    @pytest.mark.parametrize("earlier", [False, True])
    @pytest.mark.large
    def test_leaves_nothing_behind(self, earlier):
        check(f"""
            import os, pickle, random, sys, numpy
            numpy.random.seed(3)
            random.seed(3)
            distutils = "numpy.distutils"
            modules = ("pkg_resources", distutils, distutils + ".system_info")
            attributes = ("sctypes", "float", "distutils")
            if {earlier}:
                sys.modules.update((name, object()) for name in modules)
                vars(numpy).update((name, object()) for name in attributes)
            def state():
                return (
                    [sys.modules.get(name) for name in modules],
                    [vars(numpy).get(name) for name in attributes],
                    dict(os.environ),
                    pickle.dumps((numpy.random.get_state(), random.getstate())),
                )
            before = state()
            import saliency.chainer_compat
            assert state() == before
        """)

    @pytest.mark.skipif(
        importlib.util.find_spec("pkg_resources") is None,
        reason="this setuptools has no pkg_resources",
    )
    @pytest.mark.large
    def test_the_real_pkg_resources_is_importable_afterwards(self):
        done = run("""
            import saliency
            import pkg_resources
            assert pkg_resources.__file__
            assert pkg_resources.get_distribution("numpy").key == "numpy"
        """)
        assert done.returncode == 0, done.stderr

    @pytest.mark.large
    def test_after_chainer_was_imported_in_another_way(self):
        # Another shim than ours, which forgot what Chainer needs after its import.
        check("""
            import sys, types, numpy
            shim = types.ModuleType("pkg_resources")
            shim.DistributionNotFound = shim.VersionConflict = KeyError
            def require(name):
                raise KeyError(name)
            shim.require = require
            sys.modules["pkg_resources"] = shim
            info = "numpy.distutils.system_info"
            sys.modules.update({n: types.ModuleType(n) for n in (info[:15], info)})
            added = not hasattr(numpy, "sctypes")
            if added:
                numpy.sctypes = {"int": [numpy.int32, numpy.int64]}
            import chainer
            if added:
                del numpy.sctypes

            import saliency
            import chainer.functions as F, chainer.testing
            assert sys.modules["chainer"] is chainer
            assert sys.modules["pkg_resources"] is shim
            x = chainer.Variable(numpy.ones((1, 1, 2, 2), "f"))
            F.sum(F.resize_images(x, (4, 4))).backward()
            x = chainer.Variable(numpy.ones(4, "f"))
            F.sum(F.as_strided(x, (2,), (1,))).backward()
        """)

    @pytest.mark.parametrize(
        ("place", "error"),
        [
            ("chainer.training", "RuntimeError"),
            pytest.param(
                *("chainer.datasets", "KeyboardInterrupt"),
                marks=pytest.mark.large,
            ),
        ],
    )
    @pytest.mark.large
    def test_an_error_in_the_middle_restores_everything(self, place, error):
        check(f"""
            import sys, numpy
            class Failing:
                def find_spec(self, name, path=None, target=None):
                    if name == "{place}":
                        raise {error}("in the middle")
            sys.meta_path.insert(0, Failing())
            names, modules = set(vars(numpy)), set(sys.modules)
            try:
                import saliency
            except {error}:
                pass
            else:
                raise AssertionError("no error")
            added = {{name.split(".")[0] for name in set(sys.modules) - modules}}
            stand_ins = {{"pkg_resources", "scipy", "h5py"}}
            assert not added & {{"chainer", "chainerx", *stand_ins}}
            assert not any(name.startswith("numpy.distutils") for name in sys.modules)
            assert not {{"sctypes", "distutils"}} & (set(vars(numpy)) - names)

            del sys.meta_path[0]
            import saliency, chainer
        """)

    @pytest.mark.large
    def test_what_few_functions_need_is_imported_when_they_do(self, tmp_path):
        pytest.importorskip("h5py")
        check(f"""
            import sys, numpy
            without("pkg_resources", "numpy.distutils")
            class Looking:
                def find_spec(self, name, path=None, target=None):
                    if name == "chainer.training":  # as `inspect.getmodule` does
                        [hasattr(m, "__file__") for m in [*sys.modules.values()]]
            sys.meta_path.insert(0, Looking())
            import saliency, chainer
            import chainer.functions as F, chainer.links as L
            late = ("scipy", "scipy.special", "h5py", "pytest", "chainer.testing")
            assert not set(late) & set(sys.modules)
            half = numpy.array([0.5], "f")
            assert abs(F.erfinv(half).array - 0.476936) < 1e-6
            import scipy.special
            assert F.erfcx(half).array == numpy.float32(scipy.special.erfcx(0.5))
            assert F.ndtri(half).array == 0
            A = chainer.utils.to_coo(numpy.eye(3, dtype="f"))
            assert (F.sparse_matmul(A, numpy.eye(3, dtype="f")).array.trace()) == 3
            eye = numpy.eye(2, dtype="f")
            normal = chainer.distributions.MultivariateNormal(eye[0], scale_tril=eye)
            assert abs(normal.log_prob(eye[0]).array + numpy.log(2 * numpy.pi)) < 1e-5
            path = r"{tmp_path / "weights.h5"}"
            link = L.Linear(2, 3)
            chainer.serializers.save_hdf5(path, link)
            again = L.Linear(2, 3)
            chainer.serializers.load_hdf5(path, again)
            assert (again.W.array == link.W.array).all()
            import chainer.testing
            import chainer.gradient_check
            assert chainer.testing.__spec__.origin.endswith("__init__.py")
            assert "pkg_resources" not in sys.modules
        """)

    @pytest.mark.large
    def test_what_is_not_installed_is_missed_as_by_chainer(self):
        check("""
            without("scipy", "h5py", "pytest")
            import saliency, chainer, numpy
            import chainer.functions as F
            try:
                F.erfinv(numpy.zeros(1, "f"))
            except ImportError as error:
                assert "SciPy is not available" in str(error), error
            else:
                raise AssertionError("no error")
            try:
                chainer.serializers.save_hdf5("x.h5", chainer.links.Linear(2, 3))
            except RuntimeError as error:
                assert "h5py is not installed" in str(error), error
            else:
                raise AssertionError("no error")
        """)

    @pytest.mark.large
    def test_what_is_imported_already_is_taken_as_it_is(self):
        check("""
            import scipy.special
            import saliency
            from chainer.functions.math import erfinv
            assert erfinv.special is scipy.special
        """)

    def test_without_chainer_one_line_says_how_to_install_it(self):
        done = run("""
            without("chainer")
            import saliency
        """)
        assert done.stderr.splitlines()[-1] == (
            "ImportError: chainer is not installed. In a clone of this project run: "
            + chainer_compat.INSTALL_COMMAND
        )
        assert "During handling" not in done.stderr

    def test_a_broken_chainer_is_not_reported_as_missing(self):
        done = run("""
            without("six")
            import saliency
        """)
        assert "No module named 'six'" in done.stderr.splitlines()[-1]


class TestPackage:
    @pytest.mark.large
    def test_import_loads_chainer_and_no_part_of_the_toolkit(self):
        check("""
            import sys, saliency
            ours = {n for n in sys.modules if n.startswith("saliency.")}
            found = {n.split(".")[1] for n in ours}
            parts = {"array_types", "chainer_compat", "checks", "explanation"}
            parts |= {"digits", "image_depths", "namesake", "version"}
            assert found == parts, found
            assert "link_hooks" not in sys.modules
            assert "chainer" in sys.modules
            assert not {"matplotlib", "rdkit", "sklearn"} & set(sys.modules)
            # Chainer has a reader of Caffe's models.
            assert not any(name.startswith("google.protobuf") for name in sys.modules)
            assert not any("caffe" in name for name in sys.modules)

            # Twice is once.
            import link_hooks, chainer
            finders = list(sys.meta_path)
            assert saliency.chainer_compat.import_chainer() is chainer
            assert sys.modules["chainer"] is chainer
            assert sys.meta_path == finders
        """)

    @pytest.mark.parametrize("name", saliency.__all__)
    def test_public_name(self, name):
        assert name in dir(saliency)
        assert getattr(saliency, name) is not None

    @pytest.mark.large
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
    def test_packages_are_loaded_on_first_use(self):
        check(f"""
            import os, sys, saliency
            for name in {PACKAGES}:
                # Each in a process of its own, in which no other has been used.
                child = os.fork()
                if child == 0:
                    module = f"saliency.{{name}}"
                    was_there = module in sys.modules
                    found = getattr(saliency, name)
                    os._exit(was_there or found is not sys.modules[module])
                assert os.waitpid(child, 0)[1] == 0, name
        """)

    @pytest.mark.large
    def test_a_star_imports_what_can_be_loaded(self):
        check("""
            import sys
            sys.modules["onnx"] = None  # as if it were not installed
            from saliency import *
            from saliency.models import *
            import saliency
            for package in saliency, saliency.models:
                assert load_pretrained is package.load_pretrained
                assert "load_onnx" not in package.__all__
                try:
                    package.load_onnx
                except ImportError as error:
                    assert "pip install 'chainer-saliency[onnx]'" in str(error)
                else:
                    raise AssertionError("ONNX was loaded")
        """)

    def test_only_what_is_public_is_listed(self):
        assert set(dir(saliency)) == {*saliency.__all__, *PACKAGES, "chainer_compat"}

    @pytest.mark.parametrize(
        ("name", "meant"),
        [("GradientCalculater", "GradientCalculator"), ("visualiser", "visualizer")],
    )
    def test_misspelt_name(self, name, meant):
        with pytest.raises(AttributeError) as caught:
            getattr(saliency, name)
        assert str(caught.value) == (
            f"module 'saliency' has no attribute {name!r}; did you mean {meant!r}?"
        )
        shown = "".join(traceback.format_exception_only(caught.type, caught.value))
        assert shown.lower().count("did you mean") == 1

    @pytest.mark.large
    def test_what_is_logged_is_no_stray_line(self):
        check("""
            import contextlib, io
            from saliency import abs_max_scaler
            with contextlib.redirect_stderr(io.StringIO()) as stderr:
                abs_max_scaler([0.0, 0.0])
            assert stderr.getvalue() == ""
        """)

    def test_unknown_name(self):
        with pytest.raises(AttributeError, match=r"'saliency' has no attribute 'nope'"):
            _ = saliency.nope


class TestRequirements:
    """The requirement check of the stand-in for ``pkg_resources``."""

    pkg_resources = chainer_compat._pkg_resources()

    @pytest.mark.parametrize("require", ["require", "WorkingSet"])
    def test_present(self, require):
        present = ("numpy>=1.26", "chainer==7.8.1", "packaging")
        self.require(require, *present)
        # Every one of them was looked at.
        for i in range(3):
            absent = [*present[:i], f"no-such-{i}", *present[i + 1 :]]
            with pytest.raises(
                self.pkg_resources.DistributionNotFound, match=f"no-such-{i}"
            ):
                self.require(require, *absent)

    @pytest.mark.parametrize("require", ["require", "WorkingSet"])
    def test_absent(self, require):
        with pytest.raises(self.pkg_resources.DistributionNotFound, match="no-such"):
            self.require(require, "numpy", "no-such-distribution>=1")

    @pytest.mark.parametrize("require", ["require", "WorkingSet"])
    def test_other_version(self, require):
        with pytest.raises(self.pkg_resources.VersionConflict, match=r"<1.*7\.8\.1"):
            self.require(require, "numpy", "chainer<1")

    def test_both_are_resolution_errors(self):
        for name in ("DistributionNotFound", "VersionConflict"):
            error = getattr(self.pkg_resources, name)
            assert issubclass(error, self.pkg_resources.ResolutionError)

    def test_a_prerelease_counts_as_installed(self, monkeypatch):
        class Prerelease:
            version = "3.0rc1"

        monkeypatch.setattr(
            "importlib.metadata.distribution", lambda name: Prerelease()
        )
        self.pkg_resources.require("anything>=2")
        with pytest.raises(self.pkg_resources.VersionConflict, match=r"3\.0rc1"):
            self.pkg_resources.require("anything>=3.1")

    def test_get_distribution(self):
        assert self.pkg_resources.get_distribution("chainer").version == "7.8.1"
        with pytest.raises(self.pkg_resources.DistributionNotFound):
            self.pkg_resources.get_distribution("no-such-distribution")

    def test_chainer_testing_uses_it(self):
        case = chainer.testing.with_requires("no-such-distribution")(type("T", (), {}))
        assert case.__unittest_skip__
        case = chainer.testing.with_requires("numpy>=1")(type("T", (), {}))
        assert not hasattr(case, "__unittest_skip__")

    def require(self, name: str, *requirements: str) -> None:
        if name == "WorkingSet":
            self.pkg_resources.WorkingSet().require(*requirements)
        else:
            self.pkg_resources.require(*requirements)


class TestFunctions:
    """Functions of Chainer that use names which NumPy removed."""

    @pytest.mark.parametrize("align_corners", [True, False])
    def test_resize_images_is_exact_on_a_plane(self, align_corners):
        # Bilinear interpolation reproduces a plane; away from the border, where
        # align_corners=False clips, the new rows lie at (i + 0.5) * scale - 0.5.
        rows, columns = np.mgrid[:4, :5].astype(np.float32)
        image = (2 * rows - 3 * columns)[None, None]
        resized = F.resize_images(image, (7, 9), align_corners=align_corners).array
        if align_corners:
            new_rows, new_columns = np.mgrid[:7, :9] / 2
        else:
            new_rows = np.clip((np.arange(7) + 0.5) * 4 / 7 - 0.5, 0, 3)[:, None]
            new_columns = np.clip((np.arange(9) + 0.5) * 5 / 9 - 0.5, 0, 4)
        np.testing.assert_allclose(
            resized[0, 0], 2 * new_rows - 3 * new_columns, rtol=1e-5, atol=1e-5
        )

    def test_resize_images_to_the_nearest(self):
        image = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
        resized = F.resize_images(image, (4, 4), mode="nearest", align_corners=False)
        np.testing.assert_array_equal(
            resized.array[0, 0],
            [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]],
        )

    @pytest.mark.parametrize("mode", ["bilinear", "nearest"])
    def test_backward_of_resize_images(self, mode):
        x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
        gradient_check.check_backward(
            lambda x: F.resize_images(x, (6, 3), mode=mode, align_corners=False),
            x,
            np.ones((2, 3, 6, 3), np.float32),
            eps=1e-2,
            atol=1e-3,
            rtol=1e-3,
        )

    def test_examples_are_padded_without_a_warning(self):
        examples = [np.ones((2, 1)), np.ones((1, 3)), np.ones((1, 1))]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batch = chainer.dataset.concat_examples(examples, padding=-1)
        assert batch.shape == (3, 2, 3)
        np.testing.assert_array_equal(batch[1], [[1, 1, 1], [-1, -1, -1]])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_as_strided(self, dtype):
        x = chainer.Variable(np.arange(5, dtype=dtype))
        windows = F.as_strided(x, (3, 3), (1, 1))
        np.testing.assert_array_equal(windows.array, [[0, 1, 2], [1, 2, 3], [2, 3, 4]])
        windows.grad = np.arange(9, dtype=dtype).reshape(3, 3)
        windows.backward()
        np.testing.assert_array_equal(x.grad, [0, 1 + 3, 2 + 4 + 6, 5 + 7, 8])
        assert x.grad.dtype == dtype

    def test_gradient_check_finds_a_wrong_gradient(self):
        class Wrong(chainer.FunctionNode):
            def forward(self, inputs):
                return (inputs[0] * 2,)

            def backward(self, indexes, grads):
                return (grads[0] * 3,)

        x = np.ones(3, np.float64)
        with pytest.raises(AssertionError):
            gradient_check.check_backward(
                lambda x: Wrong().apply((x,))[0], x, np.ones_like(x), dtype=np.float64
            )


class TestCaffe:
    def test_reads_a_model(self, tmp_path):
        from chainer.links.caffe import CaffeFunction
        from chainer.links.caffe.protobuf3 import caffe_pb2

        rng = np.random.default_rng(0)
        weight, bias = rng.normal(size=(3, 4)), rng.normal(size=3)
        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="fc", type="InnerProduct", bottom=["x"], top=["y"])
        layer.inner_product_param.num_output = 3
        layer.blobs.add(data=weight.ravel()).shape.dim.extend(weight.shape)
        layer.blobs.add(data=bias).shape.dim.extend(bias.shape)
        path = tmp_path / "model.caffemodel"
        path.write_bytes(net.SerializeToString())

        x = rng.normal(size=(2, 4)).astype(np.float32)
        (y,) = CaffeFunction(str(path))({"x": x}, outputs=["y"])
        np.testing.assert_allclose(y.array, x @ weight.T + bias, rtol=1e-5)

    def test_writes_a_model(self, tmp_path):
        from chainer.exporters import caffe

        model = chainer.Sequential(chainer.links.Linear(4, 3), F.relu)
        caffe.export(model, [chainer.Variable(np.ones((1, 4), "f"))], str(tmp_path))
        assert "InnerProduct" in (tmp_path / "chainer_model.prototxt").read_text()

    def test_enumerations(self):
        from chainer.links.caffe.protobuf3 import caffe_pb2

        assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
        assert caffe_pb2.V1LayerParameter.CONVOLUTION == 4

    def test_an_old_protobuf_keeps_chainers_own_file(self, monkeypatch):
        from google.protobuf import message_factory

        name = chainer_compat._CaffeMessages.NAME
        find_spec = chainer_compat._CaffeMessages.find_spec
        path = [str(Path(chainer.__file__).parent / "links/caffe/protobuf3")]
        assert find_spec(name, path) is not None
        monkeypatch.delattr(message_factory, "GetMessageClass", raising=False)
        assert find_spec(name, path) is None


class TestGpu:
    @pytest.fixture(autouse=True)
    def ask_anew(self):
        chainer_compat.gpu_problem.cache_clear()
        yield
        chainer_compat.gpu_problem.cache_clear()

    def test_without_cupy(self, monkeypatch):
        cuda = chainer.backends.cuda
        monkeypatch.setattr(cuda, "available", False)
        error = ImportError("no\ncupy")
        monkeypatch.setattr(cuda, "_resolution_error", error, raising=False)
        assert chainer_compat.gpu_problem() == "no usable GPU: ImportError: no cupy"
        assert not chainer_compat.gpu_is_usable()

    def test_a_working_cupy(self, monkeypatch):
        class OnDevice(np.ndarray):
            get = np.ndarray.copy

        class Cupy:
            @staticmethod
            def arange(stop):
                return np.arange(stop).view(OnDevice)

        cuda = chainer.backends.cuda
        monkeypatch.setattr(cuda, "available", True)
        monkeypatch.setattr(cuda, "cupy", Cupy)
        assert chainer_compat.gpu_problem() is None
        assert chainer_compat.gpu_is_usable()

    def test_cupy_without_a_driver(self, monkeypatch):
        class CupyWithoutDriver:
            @staticmethod
            def arange(stop):
                raise RuntimeError("cudaErrorInsufficientDriver")

        cuda = chainer.backends.cuda
        monkeypatch.setattr(cuda, "available", True)
        monkeypatch.setattr(cuda, "cupy", CupyWithoutDriver)
        assert chainer_compat.gpu_problem() == (
            "no usable GPU: RuntimeError: cudaErrorInsufficientDriver"
        )
        assert not chainer_compat.gpu_is_usable()

    @pytest.mark.parametrize("version, silent", [("13.6.0", False), ("14.2.0", True)])
    def test_cupy_14_is_not_asked_for_cudnn(self, monkeypatch, version, silent):
        cupy = types.SimpleNamespace(__version__=version)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.delenv("CHAINER_CUDNN", raising=False)
        with chainer_compat._silence_on_cudnn():
            assert (os.environ.get("CHAINER_CUDNN") == "0") is silent
        assert "CHAINER_CUDNN" not in os.environ

    @pytest.mark.gpu
    def test_nothing_is_said_of_cudnn(self):
        script = "import saliency.chainer_compat as c; assert c.gpu_is_usable()"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.gpu
    def test_with_a_gpu(self):
        assert chainer_compat.gpu_is_usable()
        x = chainer.Variable(chainer.backends.cuda.cupy.ones((1, 1, 4, 4), "f"))
        F.sum(F.resize_images(x, (7, 7))).backward()
        assert float(x.grad.sum()) == pytest.approx(49)

"""Blur IG: the gradient along the way from a blurred image to the image."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.calculator.baseline_calculator import AdditiveCalculator, run_of
from saliency.calculator.common import gaussian_means
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.masks.channels_last import GreyImageCheck, LayoutCheck
from saliency.calculator.paths.completeness import Completeness, CompleteRun
from saliency.calculator.paths.reference import Reference
from saliency.calculator.planes import along_axes
from saliency.checks import check_positive, is_int, is_number
from saliency.configured import positional

import chainer


class BlurIntegratedGradientsCalculator(AdditiveCalculator):
    r"""Blur IG: Integrated Gradients on the way from a blurred image to the image.

    .. math::
        BlurIG_i(x) = \int_{\sigma_{max}}^0
            \frac{\partial f_c(x_\sigma)}{\partial x_{\sigma, i}}
            \frac{\partial x_{\sigma, i}}{\partial \sigma} d\sigma

    Xu, Venugopalan and Sundararajan (2020), "Attribution in scale and space",
    arXiv:2004.03383. The image :math:`x_\sigma` is blurred by a Gaussian of that many
    pixels, the solution of the heat equation, so that the way adds details from coarse
    to fine and needs no color that stands for "nothing there". The derivative of the
    way is the difference of images that follow each other, and the mean of the
    gradients at both ends of a step counts, so that the attributions of an example add
    up to
    :math:`f_c(x) - f_c(x_{\sigma_{max}})` but for an error that falls like
    :math:`1 / steps^2`; where they are far from that, a warning says so. At the border,
    what is outside of the image takes no part in the mean.

    Args:
        max_sigma (float): Standard deviation :math:`\sigma_{max}` of the Gaussian at
            the beginning, in pixels, large enough to leave nothing that the network
            knows.
        steps (int): Into how many steps the way is divided, the smaller the nearer to
            the image: :math:`\sigma_t = \sigma_{max} (1 - t / steps)^2`.
        axes (int, tuple of int or None): Axes of the target that are blurred; None is
            those from 2 on, ``(N, channel, ...)``.

    Raises:
        ValueError: If ``max_sigma``, ``steps`` or ``axes`` is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`. ``compute`` also
    raises a ValueError where the target has no such axes, or examples differ in length.
    """

    max_sigma: float = positional(default=50.0)
    steps: int = positional(default=50)
    axes: int | tuple[int, ...] | None = None

    def check(self) -> None:
        """Raise a ValueError if a setting is not allowed."""
        super().check()
        check_positive("steps", self.steps)
        if not (is_number(self.max_sigma) and 0 < self.max_sigma < np.inf):
            raise ValueError(
                f"max_sigma must be a finite number > 0, got {self.max_sigma!r}"
            )
        axes = self._axes
        if axes is not None and not (axes and all(is_int(i) and i >= 1 for i in axes)):
            raise ValueError(
                "axes must be an int >= 1, a tuple of them or None (axis 0 is that of "
                f"the batch), got {self.axes!r}"
            )

    def references(self) -> list[Reference]:
        """Return what blurs images as they are at the beginning of the way."""
        return [Reference("max_sigma", lambda x: self.blurred(x, self.max_sigma))]

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        """Return what looks whether attributions add up."""
        advice = (
            f"Pass more steps than {self.steps}, or another max_sigma than "
            f"{self.max_sigma:g}"
        )
        return _BlurRun(Completeness(1, advice))

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of points, with both ends."""
        this_run = run_of(run, _BlurRun)
        this_run.completeness.begin(batch.start, batch.size)
        if self.axes is None:
            for position in range(len(passes.target_shapes(batch))):
                this_run.layout.look_at(batch, passes, position)
                this_run.grey.look_at(batch, passes, position)
        return self.steps + 1

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the blurred target; keep the mean of the steps on both sides of it."""
        if this.lengths is not None:
            raise ValueError(
                "examples of different lengths cannot be blurred, since what is behind "
                "their ends would take part; explain them one by one"
            )
        xp = chainer.backend.get_array_module(origin)
        point, way = xp.empty_like(origin), xp.empty_like(origin)
        for step in set(this.rows.step.tolist()):
            rows = np.flatnonzero(this.rows.step == step)
            before, here, behind = (
                self.blurred(origin[rows], self._sigma(at))
                for at in (max(step - 1, 0), step, min(step + 1, self.steps))
            )
            point[rows], way[rows] = here, (behind - before) / 2
        this.kept[call] = way
        return point

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the gradient at each point times its part of the way."""
        alpha = this.rows.step / self.steps
        which = np.zeros_like(this.rows.step)
        completeness = run_of(this.run, CompleteRun).completeness
        this.once(
            "completeness",
            lambda: completeness.add(this, alpha, which, this.scores(classes)),
        )
        pairs = zip(this.kept.values(), this.gradients(classes))
        return this.of_explained_call([way * gradient for way, gradient in pairs])

    def blurred(self, images: Array, sigma: float) -> Array:
        """Return images ``(n, ...)``, blurred along the axes that are meant.

        Raises:
            ValueError: If they have no such axes.
        """
        axes = self._axes or tuple(range(2, images.ndim))
        if not axes or max(axes) >= images.ndim:
            raise ValueError(
                f"axes={self.axes!r} are none of a target of shape {images.shape}: "
                "None is those from 2 on, and axes=1 blurs along a sequence or a table"
            )
        means = {axis: gaussian_means(images.shape[axis], sigma) for axis in axes}
        return along_axes(images, means)

    @property
    def _axes(self) -> tuple[int, ...] | None:
        """The axes as a tuple, None for those from 2 on."""
        axes = self.axes
        return axes if axes is None or isinstance(axes, tuple) else (axes,)

    def _sigma(self, step: int) -> float:
        # The way is the same however it is divided; details come at the end of it.
        return self.max_sigma * (1 - step / self.steps) ** 2


class _BlurRun(CompleteRun):
    """Whether attributions add up, and whether the axes of images are those assumed."""

    def __init__(self, completeness: Completeness) -> None:
        super().__init__(completeness)
        self.layout = LayoutCheck("axes=(1, 2)")
        self.grey = GreyImageCheck("channels", "axes=(1, 2)")

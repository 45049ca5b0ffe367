"""Hooks that watch the forward pass of a Chainer model."""

import saliency.chainer_compat  # noqa: F401  (before chainer, see there)
from link_hooks.retain_output_hook import RetainOutputHook
from link_hooks.variable_monitor_link_hook import VariableMonitorLinkHook

__all__ = ["RetainOutputHook", "VariableMonitorLinkHook"]

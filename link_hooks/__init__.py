"""Hooks that watch the forward pass of a Chainer model."""

import saliency.chainer_compat  # before chainer, see there
from link_hooks.retain_output_hook import RetainOutputHook
from link_hooks.variable_monitor_link_hook import VariableMonitorLinkHook
from saliency.namesake import warn_of_namesake

if not hasattr(saliency, "Explanation"):  # what was imported is the other package's
    warn_of_namesake()

#: Chainer Chemistry's name for whether this Chainer has link hooks, as 7.8.1 does.
is_link_hooks_available = True

__all__ = [
    "RetainOutputHook",
    "VariableMonitorLinkHook",
    "is_link_hooks_available",
]

"""Lets old tools build the package, which pyproject.toml describes."""

from setuptools import setup

setup()

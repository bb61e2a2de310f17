"""The chest X-ray AI node: C-STORE in, five classifiers, Structured Report and heatmap out."""

from importlib.metadata import version

__version__ = version("cxrd")

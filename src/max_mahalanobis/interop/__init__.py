"""Models cross the border: the authors' Keras weights become classifiers of ours, ours become foolbox's models."""

from .authors_resnets import DENSE_LAYERS, classifier_of, recipe_of
from .keras_files import KerasFile, KerasLayer, read_keras
from .views import foolbox_view

__all__ = ["DENSE_LAYERS", "KerasFile", "KerasLayer", "classifier_of", "foolbox_view", "read_keras", "recipe_of"]

"""Models made elsewhere: the authors' Keras weights become classifiers of ours."""

from .authors_resnets import DENSE_LAYERS, classifier_of, recipe_of
from .keras_files import KerasFile, KerasLayer, read_keras

__all__ = ["DENSE_LAYERS", "KerasFile", "KerasLayer", "classifier_of", "read_keras", "recipe_of"]

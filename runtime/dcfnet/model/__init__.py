"""The model file: its metadata, its layers, which are read without the onnx package, and the shipped weights.

`Backbone` is the interface of a model that an engine runs. This room imports `dcfnet.config`; every room above may
import it.
"""

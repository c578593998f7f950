"""The model file: its metadata, its layers, which are read without the onnx package, and the shipped weights.

`Backbone` is the interface of a model that an engine runs. This subpackage imports `dcfnet.config`; those above
it may import it.
"""

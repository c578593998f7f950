"""TensorRT engines: built from a model file, described by a signed passport, rejected if they cannot run here.

An engine is three files. NAME.engine is the plan; other TensorRT programs can load it too. NAME.engine.json is its
passport. NAME.engine.onnx is the model that it was built from, and from which it can be built again.
"""

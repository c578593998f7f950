"""TensorRT engines: built from a model file, described and signed by a passport, refused when they do not fit.

An engine is three files: NAME.engine, a pure plan that every other loader takes too; NAME.engine.json, its passport;
NAME.engine.onnx, the model that it was built from and can be built from anew.
"""

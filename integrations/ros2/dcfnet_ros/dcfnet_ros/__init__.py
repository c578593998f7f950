"""A ROS 2 node that follows targets in the images of a camera.

Only `node` imports ROS. `following` has the rules, `messages` reads and fills messages, `diagnostics` describes the
state of the node, `parameters` lists the parameters, `engine` builds a TensorRT engine.
"""

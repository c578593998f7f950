"""Adapts the network to footage without annotation, by forward-backward consistency of the tracker."""

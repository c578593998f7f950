"""Adapting the network to footage without annotation, by what the tracker finds again on its way back."""

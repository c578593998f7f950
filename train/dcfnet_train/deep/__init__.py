"""The deep backbone: pretrained EfficientNet-Lite0 stages and projections, trained through one filter per level."""

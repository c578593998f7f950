"""The deep backbone: pretrained mobile stages, projected and trained through one filter per level."""

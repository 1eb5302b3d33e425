"""From folders of clips to lists and configs: `python -m train.init --clips DIR`."""

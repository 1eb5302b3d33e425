"""From a public dataset's official files to lists: `python -m train.data.prepare NAME`."""

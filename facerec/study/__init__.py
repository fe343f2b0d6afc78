"""The same task under every backbone and strategy, side by side: which way of transfer learning suits these photos."""

"""Fine-tuning a network on identity folders or class folders: settings, plan, one straight loop, run folder."""

"""The benches: what facerec costs in time and memory, always beside something else."""

"""Choices by cost outside the compiled kernels: numbers that decide how fast something is.

``python -m benchmarks.choices NAME`` takes the measurement of one, as of those in ``backends/fused/choices.py``, which
are for the CPU that kernels are compiled for and are imported with Numba alone.
"""

# ---------------------------------------------------------------- the reference (backends/reference.py)

# Many samples are worked on in parts, so that a layer's values stay in the cache, and their memory need not come from
# the system and go back to it in every step. A part has about this many values of the widest layer, and enough samples
# to make the products of matrices worth more than adding up the parts' gradients.
REFERENCE_TILE_VALUES = 2**15
MIN_REFERENCE_TILE_SAMPLES = 256
# Unknowns of a triangular system that numpy, which knows square ones alone, solves at a time.
TRIANGULAR_BLOCK = 64

# ---------------------------------------------------------------- runs (state.py)

# Orders of so many samples, about, are drawn at once. It changes the orders that follow from a seed.
SHUFFLED_SAMPLES_PER_BLOCK = 512

# ---------------------------------------------------------------- populations (population_*.py, sequential.py)

# Members for each thread that are taken at once where they go one by one: what is around their steps is little then.
MEMBERS_PER_THREAD = 8
# Where a record may be a member's last, so many steps are taken, if records are closer to each other, before it is
# looked whether one was.
STEPS_PER_TARGET_CHECK = 64
# Random numbers, and costs of single steps, that are held at a time while they are made parameters, and means.
DRAWS_PER_CALL = 1_000_000
COSTS_PER_CALL = 1_000_000

# ---------------------------------------------------------------- searches (sklearn/cohorts.py)

# Samples of a step, and parameters times samples, up to which networks in lanes are faster than each by itself, whose
# vectors are of samples; and steps from which on that makes up for the waiting. All others keep the bits that they have
# by themselves.
MAX_SEARCH_BATCH = 32
MAX_SEARCH_WORK = 2_500
MIN_SEARCH_STEPS = 4_000
# Steps of all members together that are taken at a time, at most: so many samples of them.
SEARCH_SAMPLES_PER_CALL = 4_000_000
# Orders, epochs times samples, that are kept for members to share.
SHARED_ORDERS = 4_000_000

"""Choices by cost: numbers that decide how fast something is, and that only a measurement can give.

``python -m benchmarks.choices NAME`` takes that measurement: cases for which NAME matters, with other values beside
the present one, each in processes of its own; without a NAME, for all of them. What stands here was measured on a Zen 4
with vectors of 512 bits; with NUMBA_CPU_NAME and FASTXOR_VECTOR_BITS the same commands look at others. Where a number
changes the order of a sum, and so the last bits of a result, it says so.
"""

from ._jit import REGISTERS

# ---------------------------------------------------------------- products (dense.py, narrow.py)

# Rows of a block of sums, two vectors wide: they, 2 vectors of B and a number of M want a register each. And rows of
# the smaller blocks for what is left.
BLOCK_ROWS = 8 if REGISTERS >= 32 else 6
HALF_BLOCK_ROWS = 4
# Bytes of the weights that a product goes through, again and again, before it goes on to the next ones: they stay in
# the second-level cache.
WEIGHT_PANEL_BYTES = 256 * 1024
# Columns of a block of sums over samples, four rows high: 4 x BLOCK_COLUMNS sums and BLOCK_COLUMNS + 1 vectors.
BLOCK_COLUMNS = 4 if REGISTERS >= 32 else 2
# What turning a vector of samples costs, in eighths of a multiply-add: is a gradient made by columns, or by sums
# of lanes? It changes the last bits.
TRANSPOSE_FMA_EIGHTHS = 3
# In a tile of one vector, a sum over so many neurons or more is added up as if that many of them stood side by side in
# a vector, which is how specialised kernels may have them. It changes the last bits.
PARTIAL_SUMS = 8
# A specialised kernel has neurons side by side where, of all lanes, less than so many times those with samples side by
# side are worked on: for what sums over samples cost, some padding is put up with.
MAX_LANE_PADDING = 4 / 3
# Up to so many parameters, a specialised kernel keeps each in a register (or what the compiler takes for one), and more
# in memory, in groups. So few have operations to spare for a shorter chain of them: see narrow.short. It changes bits.
MAX_REGISTER_PARAMETERS = 16

# ---------------------------------------------------------------- tiles (workspace.py)

# Samples in a tile: enough that the products' loops are long, few enough that threads have several tiles to share (up
# to so many for any data, and up to the most where that leaves the tiles wanted) and that the second-level cache holds
# one. Rows that lie a multiple of so many bytes from each other want the same places in the first-level cache: there,
# one of several tiles is a vector wider. Small blocks of sums read a tile more often: there, one of many rows is to
# leave the cache room for weights. All five change the last bits of a gradient.
MIN_TILE_SAMPLES = 256
MAX_TILE_SAMPLES = 480
TARGET_TILES = 16
MAX_TILE_BYTES = 2 * 1024 * 1024 if REGISTERS >= 32 else 1024 * 1024
CACHE_ALIAS_BYTES = 1024

# Operations of a step, and bytes of a row, from which on what would be one tile is two of half the size: two threads
# gain a third and more, and one loses a hundredth. Not where the gradient has more bytes than `GRADIENT_BUFFER_BYTES`:
# it is what they exchange. It changes the last bits of a gradient.
MIN_SPLIT_OPERATIONS = 2e6
MIN_SPLIT_ROW_BYTES = 1536

# Bytes of a workspace up to which clearing all of it is sooner done than saying which part has to be.
MAX_CLEARED_BYTES = 64 * 1024

# How many samples before one is copied into a tile its memory is asked for.
PREFETCH_SAMPLES = 6

# ---------------------------------------------------------------- threads (threads.py, sync.py)

# Operations of a step from which on further threads pay, although they have to be started and waited for; and from
# which on they pay in lockstep, where they wait for each other several times in a step.
MIN_THREADED_OPERATIONS = 1e6
MIN_LOCKSTEP_OPERATIONS = 1e7
# Gradients of tiles that a thread has room for: with more than one, which are small, it need not wait for a slower one.
MAX_GRADIENT_BUFFERS = 4
GRADIENT_BUFFER_BYTES = 64 * 1024
# Spin-wait: looks at another thread's progress, about 10 us, before the system may run others. Longer than most waits:
# a thread that yields has lost its core for milliseconds, and the others wait for it. Not by much: they may share one.
SPINS_BEFORE_YIELD = 10_000
# For how many seconds one thread, or all, are tried, and for how many what was faster is trusted to stay so.
TRIAL_SECONDS = 0.01
TRUSTED_SECONDS = 0.3

# ---------------------------------------------------------------- kernels for one network (specialised/)

# Above so many parameters the registers overflow and compiling gets slow.
MAX_SPECIALISED_PARAMETERS = 160
# What the engine has left to do, in seconds, before compiling such a kernel pays, before loading what is compiled does,
# and before a call of what is loaded does.
MIN_SECONDS_TO_COMPILE = 0.5
MIN_SECONDS_TO_LOAD = 0.05
MIN_SECONDS_TO_CALL = 2e-5

# ---------------------------------------------------------------- populations (population/)

# Parameters times samples of a step up to which there is a network in each lane. Beyond, that is still faster for many
# networks, but a few, which leave most lanes empty, would pay for it; and the last bits, which this changes, may not
# depend on how many there are.
MAX_LANE_STEP_WORK = 600_000
# Parameters times samples up to which a kernel of one's own is compiled for a network.
MAX_UNROLLED_WORK = 400
# And parameters up to which a vector of such a kernel is two registers.
MAX_PAIRED_REGISTER_PARAMETERS = 16
# What the general kernel has left to do, in seconds, before compiling such a kernel pays.
MIN_SECONDS_TO_UNROLL = 2.0
# Seconds that a call of a kernel may take, of which each has some networks take all steps: Ctrl-C waits for it.
MAX_CALL_SECONDS = 0.02
# Seconds that such a call should take where threads share the networks: at most, lest they wait for the last one; and
# at least.
MAX_SHARD_SECONDS = 0.001
MIN_SHARD_SECONDS = 0.0002
# Pieces of the networks, and of their starts, for each thread where they are not too short: threads end together.
SHARDS_PER_THREAD = 16
# Parameters times samples up to which a pass forward has a network in each lane; and these times networks, of a call:
# at most, lest Ctrl-C waits, and where threads share the networks at least.
MAX_LANE_PASS_WORK = 1_000_000
MAX_PASS_CALL_WORK = 10_000_000
MIN_PASS_CALL_WORK = 500_000
# Steps that a group takes before anybody looks whether a network in it has diverged: these are done again, one by one.
STEPS_PER_CHECK = 200
# Rows and columns of a block of sums, each a vector of networks: so many sums and vectors of either side.
LANE_BLOCK_ROWS = 4
LANE_BLOCK_COLUMNS = 4 if REGISTERS >= 32 else 3
# Bytes of a group's tile: the second-level cache holds it, and the parameters. It changes the last bits of a gradient.
LANE_TILE_BYTES = 128 * 1024
# Bytes of all samples, a vector for each number, up to which a group has them in place for all steps of a call.
MAX_RESIDENT_SAMPLES_BYTES = 8 * 1024 * 1024
# Costs of a group that are put aside, a vector each, before they are dealt out to the networks.
MAX_RECORDED_COSTS = 64
# Steps after which a group is first looked at: most that diverge do so at once.
STEPS_TO_FIRST_CHECK = 8
# Random numbers, and words of a generator's state, that are worth a thread; how many generators are taken side by side,
# and of how many of their words at a time (a pair of numbers takes four, and a state is some times as many).
MIN_DRAWS_PER_THREAD = 50_000
STREAMS = 16
WORDS_PER_BLOCK = 48

# ---------------------------------------------------------------- least squares (jacobian.py)

# Bytes of the Jacobian of a tile, which is read as soon as it is written: it should stay in the second-level cache. But
# its product with itself is as large as the square of the parameters, and fewer columns than these are not worth going
# through that. Both change the last bits.
JACOBIAN_TILE_BYTES = 512 * 1024
MIN_JACOBIAN_COLUMNS = 1024

# ---------------------------------------------------------------- around the kernels (session.py, __init__.py)

# The orders of so many samples are drawn at once, for data of few samples whose epochs are soon over.
SHUFFLED_SAMPLES_PER_CALL = 100_000
# And of so many where several threads take the steps: they are started anew for each call.
SHUFFLED_SAMPLES_PER_THREADED_CALL = 200_000
# Of a schedule, the learning rates of so many steps at most are worked out at a time.
RATES_PER_CALL = 4096
# Bytes of a matrix that is laid out sample by sample even for mini-batches that go over a part of the data; as large a
# part of them.
MAX_TRANSPOSED_BYTES = 1024 * 1024
# Snapshots on the way, for who looks at records, at most; and their bytes, which stay in the second-level cache until
# they have been looked at.
MAX_SNAPSHOTS = 16
SNAPSHOT_BYTES = 256 * 1024
# Bytes of samples for validation up to which they are copied once, and not at every look at them.
MAX_RESIDENT_VALIDATION_BYTES = 64 * 1024 * 1024
# Bytes of workspaces that are kept for the next calls, to make one takes longer than a small network's pass; and of the
# single larger one, which takes as long as some steps, for its pages have to come from the system.
MAX_POOLED_WORKSPACE_BYTES = 1024 * 1024
MAX_RETAINED_WORKSPACE_BYTES = 32 * 1024 * 1024

# A single pass over a network of so many parameters times samples may take a tenth of a second: see
# time_slice.run_interruptible.
MIN_INTERRUPTIBLE_WORK = 10**9

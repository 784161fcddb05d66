"""The questions, one binary each, in the order in which a round asks them."""

# name: what is asked. The binary is bench_NAME.
QUESTIONS = {
    "update": "the fused update, the whole host step, states in fewer bits",
    "norm": "the sum of squares",
    "cast": "conversions between dtypes, accumulation",
    "reduce_scatter": "over shared memory",
    "all_gather": "over shared memory",
    "barrier": "collectives that move next to nothing",
    "transfer": "between host memory and where is computed",
    "disk_read": "engine and record store",
    "disk_write": "engine and record store",
    "update_from_disk": "the update of states that rest on a disk",
    "gather": "overhead of a gather and its release",
    "checkpoint": "saving and loading",
}

# Bytes of an array, a buffer or a file where a run shall only show that it works.
QUICK_BYTES = "8MiB"


def binary_of(question):
    return f"bench_{question}"

import os
import signal

# Before torch is first imported: two cores shared by a test run are slower with two threads each than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings

# The first call into a big library exceeds Hypothesis' 200 ms and would fail a right test as flaky.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

# A suite that was started in the background is deaf to Ctrl-C, and so would be what its tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

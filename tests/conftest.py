"""Settings of all tests."""

import os

# Read when transformers is first imported, which is why it stands here: no test waits for the network
os.environ['HF_HUB_OFFLINE'] = '1'

"""A fleet of real machines: its folder, its keys and certificates, and Flower's programs around it."""

import os

# Flower looks at these when it is imported, in this process and in those that we start.
os.environ |= {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}

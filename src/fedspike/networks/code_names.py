"""What the energy bill calls the codes."""

from fedspike.encoding import (
    BurstCode,
    DeltaCode,
    DirectCode,
    LatencyCode,
    PhaseCode,
    RateCode,
)
from fedspike.energy.network import Code

CODE_NAMES: dict[type, Code] = {
    RateCode: "rate",
    LatencyCode: "latency",
    PhaseCode: "phase",
    BurstCode: "burst",
    DeltaCode: "delta",
    DirectCode: "direct",
}

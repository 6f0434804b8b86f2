"""What the energy bill calls the codes."""

from fedspike.energy.network import Code
from fedspike.parts.codes import (
    BurstCode,
    DeltaCode,
    DirectCode,
    LatencyCode,
    PhaseCode,
    RateCode,
)

CODE_NAMES: dict[type, Code] = {
    RateCode: "rate",
    LatencyCode: "latency",
    PhaseCode: "phase",
    BurstCode: "burst",
    DeltaCode: "delta",
    DirectCode: "direct",
}

"""Every client sees its samples through a camera of its own: the skew of features."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Int64
from msgspec import Meta, Struct, structs

from fedspike.data.disturbances import Samples, blurred, rotated
from fedspike.errors import InputError
from fedspike.part import demand_limits
from fedspike.randomness import stream

__all__ = ["Cameras"]  # what `import fedspike` gives


class Cameras(Struct, frozen=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """How unlike the cameras of the clients are: what they do to all samples of a client, and to no other's.

    Of N clients number k = 0 ... N - 1 sees a sample x, one after the other,

    - turned by `rotation` u_k, with u_k ~ U(-1, 1);
    - under a bell curve of the standard deviation `blur` v_k, with v_k ~ U(0, 1);
    - with less contrast: m + (1 - `contrast` w_k) (x - m), where m is the mean of x, and w_k ~ U(0, 1);
    - with noise: x + `noise` (k + 1)/N n, with n ~ N(0, 1) for each number, cut to what a sample may hold.

    u, v, w and n depend on the partition's seed and on k alone: all networks see the same, here and on real
    devices. The test samples stay clean. Blur and contrast stand for other lenses and typefaces, of which no
    data are at hand.

    Source of the noise: Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos: An Experimental
    Study", ICDE 2022: noise-based feature imbalance, Gau(sigma i/N) on party i = 1 ... N. Here it is cut, and
    the same in each epoch.
    """

    noise: Annotated[
        float, Meta(ge=0, le=100, description="standard deviation, of the last client")
    ] = 0.0
    rotation: Annotated[float, Meta(ge=0, le=180, description="at most, in degrees")] = 0.0
    blur: Annotated[
        float, Meta(ge=0, le=100, description="standard deviation at most, in pixels")
    ] = 0.0
    contrast: Annotated[
        float, Meta(ge=0, le=1, description="the share of it that is lost at most")
    ] = 0.0

    def __post_init__(self) -> None:
        demand_limits(self)

    def demand(
        self, shape: tuple[int, ...], shards: Sequence[Int64[np.ndarray, " _sample"]]
    ) -> None:
        """Raise InputError where samples of this shape are no images, and more than noise is asked for.

        And where a sample lies on two clients: it would be seen in two ways.
        """
        held = np.concatenate([np.asarray(shard) for shard in shards])
        if len(np.unique(held)) < len(held):
            raise InputError(
                "cameras over a partition in which clients share samples",
                expected="each sample on one client, who sees it through a camera of its own",
                fix="leave cameras out, or deal each sample once",
                keys=("cameras",),
            )
        asked = [key for key, value in structs.asdict(self).items() if value and key != "noise"]
        if asked and len(shape) < 2:
            raise InputError(
                f"cameras.{asked[0]} = {getattr(self, asked[0])} over samples of shape {shape}",
                expected="images; other samples can have noise alone",
                fix=f"leave {asked[0]} out, or say which axes of the samples are height and width",
                keys=(f"cameras.{asked[0]}",),
            )

    def seen(
        self,
        samples: Samples,
        shards: Mapping[int, Int64[np.ndarray, " _sample"]],
        clients: int,
        seed: int,
        *,
        darkest: float = 0.0,
    ) -> Samples:
        """The samples as seen by these of so many clients, who hold those at the positions in `shards`.

        >>> half = np.full((4, 2, 2), 0.5, np.float32)
        >>> seen = Cameras(noise=0.1).seen(half, {0: np.array([0, 1])}, clients=2, seed=0)
        >>> [bool((one == half[0]).all()) for one in seen]
        [False, False, True, True]
        """
        everybody = samples.copy()
        for client, shard in shards.items():
            own = samples[shard]
            u, v, w = stream(seed, "camera", client=client).random(3)
            if self.rotation:
                own = rotated(own, self.rotation * (2 * u - 1))
            if width := self.blur * v:
                own = blurred(own, width)
            if self.contrast:
                mean = own.mean(axis=tuple(range(1, own.ndim)), keepdims=True)
                own = mean + np.float32(1 - self.contrast * w) * (own - mean)
            if self.noise:
                noise = stream(seed, "camera-noise", client=client)
                normal = noise.standard_normal(own.shape, np.float32)
                own = own + np.float32(self.noise * (client + 1) / clients) * normal
            everybody[shard] = own.clip(darkest, 1)
        return everybody

"""FedRolex: as HeteroFL, with a window over the hidden units that rolls on, so that all of them are trained.

    in the server's step j client k holds the units j, j + 1, ..., j + ceil(r_k H) - 1, all modulo H

Source: Alam, Liu, Yan, Zhang, "FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model
Extraction", NeurIPS 2022, Eq. 3, there with floor(r H). A round that is skipped does not move the window.
"""

from typing import ClassVar

from fedspike.remedies.heterofl import HeteroFL


class FedRolex(HeteroFL, tag="fedrolex"):
    """Client k trains the share r = `widths[k mod n]` of each hidden layer, a window that rolls on.

    It moves by a unit a round. Where devices have a `fleet.memory_kb`, each trains the widest of these that
    fits. Where all have width 1 it is the algorithm.
    """

    rolling: ClassVar[bool] = True

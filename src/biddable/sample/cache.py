"""A key-value cache whose room is allocated once.

transformers' DynamicLayer concatenates: each new token copies the whole past. Here a new token is written into its
place. L = layers, B = rows, H = heads, S = tokens so far, E = head width.
"""

from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from biddable.model.attention import check_sees_all


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, in a buffer of `room` places of which the first `filled` are taken."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room
        self.filled = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        B, H, _, E = key_states.shape
        self.key_room = key_states.new_empty(B, H, self.room, E)
        self.value_room = value_states.new_empty(B, H, self.room, value_states.shape[-1])

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        upto = self.filled + key_states.shape[-2]
        self.key_room[:, :, self.filled : upto] = key_states
        self.value_room[:, :, self.filled : upto] = value_states
        self.filled = upto
        self.keys, self.values = self.key_room[:, :, :upto], self.value_room[:, :, :upto]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.filled

    def batch_select_indices(self, indices: Tensor) -> None:
        self.key_room, self.value_room = self.key_room[indices], self.value_room[indices]
        self.keys, self.values = self.key_room[:, :, : self.filled], self.value_room[:, :, : self.filled]


def roomy_cache(model: PreTrainedModel, room: int) -> Cache:
    """A cache for `room` tokens a row."""
    check_sees_all(model)
    return Cache(layers=[RoomyLayer(room) for _ in range(model.config.num_hidden_layers)])


def select(cache: Cache, index_b: Tensor) -> None:
    """Keep some rows."""
    for layer in cache.layers:
        assert isinstance(layer, RoomyLayer)
        layer.batch_select_indices(index_b)

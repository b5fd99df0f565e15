from .embedder import TorchEmbedder as TorchEmbedder
from .running import choose_device as choose_device
from .running import forward as forward
from .running import import_torchvision as import_torchvision
from .running import state_dict as state_dict
from .state_files import read_state as read_state
from .state_files import write_state as write_state
